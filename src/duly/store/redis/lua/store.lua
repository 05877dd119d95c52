-- Putting new jobs in, whatever they are. Each: id, body (a blob), queue, priority, due, key, on_conflict, and if it is
-- part of a canvas: the gate it is held at, and the gates it is a member of with its index in each.

local function known(jobs)
    local ids = {}
    for i, job in ipairs(jobs) do ids[i] = job[1] end
    return each('HMGET', key('ids'), ids)
end

-- Whether a stored job is the one that is to be stored: then it was, by a call whose answer was lost.
local function is_same(ref, job) return redis.call('HGET', key('jobs'), ref) == blob(job[2]) end

-- Store one whose id is new, under a number of its own. One that is held waits where attach (gates.lua) says.
local function store(number, job)
    local ref = ref_of(number)
    redis.call('HSET', key('jobs'), ref, blob(job[2]))
    redis.call('HSET', key('ids'), job[1], ref)
    if not job[8] then index(job[3], job[4], {job[5], ref}, job[5]) end
    return ref
end

-- Store those whose ids are new, no matter what keys they have; how many, and pairs of ref and job.
local function store_all(jobs)
    local found, fresh, stored, seen = known(jobs), {}, {}, {}
    for i, job in ipairs(jobs) do
        if not found[i] and not seen[job[1]] then fresh[#fresh + 1] = job end
        seen[job[1]] = true
    end
    local first = #fresh > 0 and new_refs(#fresh)
    for i, job in ipairs(fresh) do stored[i] = {store(first + i - 1, job), job} end
    return #fresh, stored
end
