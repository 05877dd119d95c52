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
    for block in pairs(blocks) do
        local refs = {}
        for i = 0, 255 do refs[i + 1] = string.format('%013.0f', block * 256 + i) end
        local any = false
        for _, body in ipairs(redis.call('HMGET', key('jobs'), unpack(refs))) do any = any or body end
        if not any then redis.call('ZREM', key('ages'), block) end
    end
end

-- Delete these jobs, whose bodies and states are given.
local function delete(refs, bodies, states)
    if #refs == 0 then return end
    local ids, gone, blocks, occurrences = {}, {}, {}, redis.call('EXISTS', key('occurrence-of')) == 1
    for i, ref in ipairs(refs) do
        local id = rest_of(bodies[i])[1]
        ids[i] = id
        gone[#gone + 1], gone[#gone + 2] = key('history:' .. ref), key('effects:' .. ref)
        blocks[math.floor(tonumber(ref) / 256)] = true
        redis.call('ZREM', key('done:' .. struct.unpack('<B', states[i])), ref)
        if occurrences then forget_occurrence(id) end
    end
    each('HDEL', key('jobs'), refs)
    each('HDEL', key('state'), refs)
    each('HDEL', key('ids'), ids)
    each('UNLINK', gone[1], gone)
    forget_ages(blocks)
end
