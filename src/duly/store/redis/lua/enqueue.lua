-- include: keys levels refs moving
-- Store plain jobs: no keys, no gates. A = {ids, dues, levels, whether this is a repetition}; the bodies are the arguments
-- behind it. Dues: text, one for all or a list (Redis takes no numbers, and Lua is slow at writing them). Each level:
-- queue, priority, the earliest due, and the places of its jobs, false for all. Answers {now, the places of those whose
-- ids were there}. Each step is a loop over all jobs, half of what the call costs; so they are few and plain.

local to = moved_to()
if to then return refusal(to) end

local ids, dues, levels, repeated = A[1], A[2], A[3], A[4]
local BEHIND = 2 -- arguments before the bodies

-- Which are new, by place, and how many; and the places of the others.
local function look_up()
    local found, new, seen, there = each('HMGET', key('ids'), ids), {}, {}, {}
    for place = 1, #ids do
        local id = ids[place]
        if found[place] or seen[id] then there[#there + 1] = place else new[place] = true end
        seen[id] = true
    end
    return new, #ids - #there, there
end

-- Write the ids and bodies of those that are new; gives their refs, by place.
local function write(new, number)
    local refs, indexed, written, at = {}, {}, {}, 1
    for place = 1, #ids do
        if new[place] then
            local ref = ref_of(number)
            refs[place], number = ref, number + 1
            indexed[at], indexed[at + 1] = ids[place], ref
            written[at], written[at + 1] = ref, ARGV[BEHIND + place]
            at = at + 2
        end
    end
    each('HSET', key('ids'), indexed)
    each('HSET', key('jobs'), written)
    return refs
end

-- The new jobs of a level as pairs of due and ref.
local function pairs_of(places, refs)
    local one_due, found, at = type(dues) == 'string' and dues, {}, 1
    for i = 1, places and #places or #ids do
        local place = places and places[i] or i
        local ref = refs[place]
        if ref then
            found[at], found[at + 1] = one_due or dues[place], ref
            at = at + 2
        end
    end
    return found
end

local new, n, there = look_up()
if n > 0 then
    local refs = write(new, new_refs(n))
    for _, one in ipairs(levels) do
        local found = pairs_of(one[4], refs)
        if #found > 0 then index(one[1], one[2], found, one[3]) end
    end
    wake_up()
end

-- A call whose answer was lost has stored what is there as it was to be stored.
if repeated then
    local others = {}
    for _, place in ipairs(there) do
        local ref = redis.call('HGET', key('ids'), ids[place])
        if redis.call('HGET', key('jobs'), ref) ~= ARGV[BEHIND + place] then others[#others + 1] = place end
    end
    there = others
end
return {now, there}
