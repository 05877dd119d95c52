-- Jobs that have ended go, and all that is known of them.

local function forget_occurrence(id)
    local packed = redis.call('HGET', key('occurrence-of'), id)
    if not packed then return end
    local schedule, nominal = unpack(cmsgpack.unpack(packed))
    redis.call('HDEL', key('occurrence-of'), id)
    redis.call('ZREMRANGEBYSCORE', key('occurrences:' .. schedule), nominal, nominal)
end

-- Blocks of refs in which there is no job any more.
local function forget_ages(blocks)
    blocks[math.floor(redis.call('HGET', key('meta'), 'job') / 256)] = nil -- more may come in this one
    for block in pairs(blocks) do
        local refs = {}
        for i = 0, 255 do refs[i + 1] = string.format('%013.0f', block * 256 + i) end
        local any = false
        for _, body in ipairs(redis.call('HMGET', key('jobs'), unpack(refs))) do any = any or body end
        if not any then redis.call('ZREM', key('ages'), block) end
    end
end

-- A gate goes with the last of its jobs.
local function leave_gates(ref, body)
    local rest, gates = rest_of(body), {}
    for _, membership in ipairs(rest[8] or {}) do
        gates[#gates + 1] = membership[1]
        redis.call('HDEL', key('members:' .. membership[1]), membership[2])
    end
    if rest[7] then
        gates[#gates + 1] = rest[7]
        redis.call('SREM', key('after:' .. rest[7]), ref)
    end
    for _, gate in ipairs(gates) do
        if redis.call('EXISTS', key('members:' .. gate), key('after:' .. gate)) == 0 then
            redis.call('HDEL', key('gates'), gate)
        end
    end
end

-- Whether a job is held at a gate, or was let through and has not ended, of which this one is a member.
local function is_needed(body)
    for _, membership in ipairs(is_member(body) and rest_of(body)[8] or {}) do
        for _, ref in ipairs(redis.call('SMEMBERS', key('after:' .. membership[1]))) do
            local packed = redis.call('HGET', key('state'), ref)
            if not packed or struct.unpack('<B', packed) < SUCCEEDED then return true end
        end
    end
    return false
end

-- Delete these jobs, whose bodies and states (false: none) are given.
local function delete(refs, bodies, states)
    if #refs == 0 then return end
    local ids, gone, blocks, occurrences = {}, {}, {}, redis.call('EXISTS', key('occurrence-of')) == 1
    for i, ref in ipairs(refs) do
        local rest = rest_of(bodies[i])
        local id = rest[1]
        ids[i] = id
        if rest[7] or rest[8] then leave_gates(ref, bodies[i]) end
        gone[#gone + 1], gone[#gone + 2] = key('history:' .. ref), key('effects:' .. ref)
        blocks[math.floor(tonumber(ref) / 256)] = true
        if states[i] then redis.call('ZREM', key('done:' .. struct.unpack('<B', states[i])), ref) end
        if occurrences then forget_occurrence(id) end
    end
    each('ZREM', key('unanswered'), refs)
    each('HDEL', key('jobs'), refs)
    each('HDEL', key('state'), refs)
    each('HDEL', key('ids'), ids)
    each('UNLINK', gone[1], gone)
    forget_ages(blocks)
end
