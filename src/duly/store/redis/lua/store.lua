-- Putting new jobs in, whatever they are. Each: id, body (a blob), queue, priority, due, key, on_conflict, and if it is
-- part of a canvas: the gate it is held at, and the gates it is a member of with its index in each.

local function known(jobs)
    local ids = {}
    for i, job in ipairs(jobs) do ids[i] = job[1] end
    return each('HMGET', key('ids'), ids)
end

-- Whether a stored job is the one that is to be stored: then it was, by a call whose answer was lost.
local function is_same(ref, job) return redis.call('HGET', key('jobs'), ref) == blob(job[2]) end

-- Store those whose ids are new, under numbers of their own from the first one on; gives their refs. One that is held waits
-- where attach (gates.lua) says. All are written together: a canvas may have a hundred thousand.
local function store(first, jobs)
    local refs, bodies, ids, waiting = {}, {}, {}, {}
    for i, job in ipairs(jobs) do
        local ref, at = ref_of(first + i - 1), 2 * i
        refs[i] = ref
        bodies[at - 1], bodies[at] = ref, blob(job[2])
        ids[at - 1], ids[at] = job[1], ref
        if not job[8] then
            local name, due = level(job[3], job[4]), job[5]
            local one = waiting[name] or {queue = job[3], priority = job[4], earliest = due, pairs = {}}
            waiting[name] = one
            one.earliest = math.min(one.earliest, due)
            one.pairs[#one.pairs + 1], one.pairs[#one.pairs + 2] = due, ref
        end
    end
    each('HSET', key('jobs'), bodies)
    each('HSET', key('ids'), ids)
    for _, one in pairs(waiting) do index(one.queue, one.priority, one.pairs, one.earliest) end
    return refs
end

-- Store those whose ids are new, no matter what keys they have; how many, and pairs of ref and job.
local function store_all(jobs)
    local found, fresh, stored, seen = known(jobs), {}, {}, {}
    for i, job in ipairs(jobs) do
        if not found[i] and not seen[job[1]] then fresh[#fresh + 1] = job end
        seen[job[1]] = true
    end
    if #fresh == 0 then return 0, stored end
    local refs = store(new_refs(#fresh), fresh)
    for i, job in ipairs(fresh) do stored[i] = {refs[i], job} end
    return #fresh, stored
end
