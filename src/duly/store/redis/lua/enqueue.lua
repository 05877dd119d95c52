-- include: keys levels refs moving
-- Store plain jobs: no keys, no gates. A = {ids, levels, bodies (blobs), whether this is a repetition}; each level: queue,
-- priority, and place and due of each job. Answers {now, for each: 1 stored, 0 its id was
-- there}.

local to = moved_to()
if to then return refusal(to) end

local ids, levels, bodies, repeated = A[1], A[2], A[3], A[4]

-- The refs of those that are new, by place, with the index of ids written.
local function new_ones()
    if #ids == 1 then -- the way of nearly all: a number that is given for nothing costs nothing
        local ref = ref_of(new_refs(1))
        local stored = redis.call('HSETNX', key('ids'), ids[1], ref) == 1
        return {stored and ref or false}, stored and 1 or 0
    end
    local found, refs, seen, indexed, n = each('HMGET', key('ids'), ids), {}, {}, {}, 0
    for place, id in ipairs(ids) do
        refs[place] = not found[place] and not seen[id]
        seen[id] = true
        if refs[place] then n = n + 1 end
    end
    local number = n > 0 and new_refs(n)
    for place, id in ipairs(ids) do
        if refs[place] then
            refs[place], number = ref_of(number), number + 1
            indexed[#indexed + 1], indexed[#indexed + 2] = id, refs[place]
        end
    end
    each('HSET', key('ids'), indexed)
    return refs, n
end

local refs, n = new_ones()
local answers = {}
for place = 1, #ids do answers[place] = refs[place] and 1 or 0 end

if n > 0 then
    local written = {}
    for place = 1, #ids do
        local ref, at = refs[place], #written
        if ref then written[at + 1], written[at + 2] = ref, ARGV[bodies[place]] end
    end
    each('HSET', key('jobs'), written)
    for _, one in ipairs(levels) do
        local places, pairs_, earliest = one[3], {}, math.huge
        for i = 1, #places, 2 do
            local ref, due, at = refs[places[i]], places[i + 1], #pairs_
            if ref then
                pairs_[at + 1], pairs_[at + 2] = due, ref
                if due < earliest then earliest = due end
            end
        end
        if #pairs_ > 0 then index(one[1], one[2], pairs_, earliest) end
    end
    wake_up()
end

-- A call whose answer was lost has stored what is there as it was to be stored.
if repeated then
    for place, id in ipairs(ids) do
        local ref = redis.call('HGET', key('ids'), id)
        if redis.call('HGET', key('jobs'), ref) == blob(bodies[place]) then answers[place] = 1 end
    end
end
return {now, answers}
