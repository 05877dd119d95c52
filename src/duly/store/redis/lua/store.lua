-- Putting new jobs in. Each of A's jobs: id, body (a blob), queue, priority, due, key, on_conflict,
-- and if it is part of a canvas: the gate it is held at, and the gates it is a member of with its index in each.

local BLOCK = 256 -- refs of one member of "ages"

local Batch = {}
Batch.__index = Batch

function Batch.new() return setmetatable({bodies = {}, ids = {}, levels = {}, blocks = {}, held = {}}, Batch) end

-- Give refs to so many jobs: the first of them.
local function new_refs(n) return redis.call('HINCRBY', key('meta'), 'job', n) - n + 1 end

function Batch:add(number, job)
    local ref = string.format('%013.0f', number)
    local bodies, ids = self.bodies, self.ids
    bodies[#bodies + 1], bodies[#bodies + 2] = ref, blob(job[2])
    ids[#ids + 1], ids[#ids + 2] = job[1], ref
    self.blocks[math.floor(number / BLOCK)] = true
    if job[8] then
        self.held[#self.held + 1] = ref
        return ref
    end
    local name = job[4] .. job[3]
    local found = self.levels[name]
    if not found then
        found = {queue = job[3], priority = job[4], pairs = {}, earliest = job[5]}
        self.levels[name] = found
    end
    local pairs_ = found.pairs
    pairs_[#pairs_ + 1], pairs_[#pairs_ + 2] = job[5], ref
    if job[5] < found.earliest then found.earliest = job[5] end
    return ref
end

function Batch:write()
    each('HSET', key('jobs'), self.bodies)
    each('HSET', key('ids'), self.ids)
    for _, one in pairs(self.levels) do index(one.queue, one.priority, one.pairs, one.earliest) end
    for _, ref in ipairs(self.held) do enter_index(ref, redis.call('HGET', key('jobs'), ref)) end
    for block in pairs(self.blocks) do redis.call('ZADD', key('ages'), block, block) end
end

local function known(jobs)
    local ids = {}
    for i, job in ipairs(jobs) do ids[i] = job[1] end
    return each('HMGET', key('ids'), ids)
end

-- Whether a stored job is the one that is to be stored: then it was, by a call whose answer was lost.
local function is_same(ref, job) return redis.call('HGET', key('jobs'), ref) == blob(job[2]) end

-- Store those whose ids are new, no matter what keys they have; for each 1 or 0, and pairs of ref and job.
local function store_all(jobs, repeated)
    local found, fresh, answers, seen, stored = known(jobs), {}, {}, {}, {}
    for i, job in ipairs(jobs) do
        local new = not found[i] and not seen[job[1]]
        seen[job[1]] = true
        answers[i] = (new or repeated and found[i] and is_same(found[i], job)) and 1 or 0
        if new then fresh[#fresh + 1] = job end
    end
    if #fresh > 0 then
        local batch, first = Batch.new(), new_refs(#fresh)
        for i, job in ipairs(fresh) do stored[i] = {batch:add(first + i - 1, job), job} end
        batch:write()
    end
    return answers, stored
end
