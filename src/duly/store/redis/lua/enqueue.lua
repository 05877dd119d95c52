-- include: keys levels refs moving
-- Store plain jobs: no keys, no gates. A = {ids, levels, bodies (blobs), whether this is a repetition}; each level: queue,
-- priority, the earliest due, and place and due of each job, dues as text (Redis takes no numbers, and Lua is slow at
-- writing them). Answers {now, for each: 1 stored, 0 its id was there}.

local to = moved_to()
if to then return refusal(to) end

local ids, levels, bodies, repeated = A[1], A[2], A[3], A[4]

-- The refs of those that are new, by place (false: its id is there), and how many; their ids are written.
local function new_ones()
    local found, refs, seen, indexed, n = each('HMGET', key('ids'), ids), {}, {}, {}, 0
    for place, id in ipairs(ids) do
        refs[place] = not found[place] and not seen[id]
        seen[id] = true
        if refs[place] then n = n + 1 end
    end
    local number, at = n > 0 and new_refs(n), 1
    for place, id in ipairs(ids) do
        if refs[place] then
            local ref = ref_of(number)
            refs[place], indexed[at], indexed[at + 1] = ref, id, ref
            number, at = number + 1, at + 2
        end
    end
    each('HSET', key('ids'), indexed)
    return refs, n
end

local refs, n = new_ones()
local answers = {}
for place = 1, #ids do answers[place] = refs[place] and 1 or 0 end

if n > 0 then
    local written, at = {}, 1
    for place = 1, #ids do
        local ref = refs[place]
        if ref then
            written[at], written[at + 1] = ref, ARGV[bodies[place]]
            at = at + 2
        end
    end
    each('HSET', key('jobs'), written)
    for _, one in ipairs(levels) do
        local places, pairs_, last = one[4], {}, 1
        for i = 1, #places, 2 do
            local ref = refs[places[i]]
            if ref then
                pairs_[last], pairs_[last + 1] = places[i + 1], ref
                last = last + 2
            end
        end
        if last > 1 then index(one[1], one[2], pairs_, one[3]) end
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
