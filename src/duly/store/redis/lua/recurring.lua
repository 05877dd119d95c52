-- Schedules as they are stored: owner or false, revision, paused, next or false, last or false, overlap, JSON.

local function write_schedule(name, owner, paused, next_, last, overlap, info)
    local record = {owner, number('revision'), paused, next_, last, overlap, info}
    redis.call('HSET', key('schedules'), name, cmsgpack.pack(record))
    if next_ and not paused then
        redis.call('ZADD', key('ticks'), next_, name)
    else
        redis.call('ZREM', key('ticks'), name)
    end
end

-- Take back the occurrences after an instant that have not started; gives the first one's nominal instant, or nil.
local function withdraw(name, after, why)
    local first, occurrences = nil, key('occurrences:' .. name)
    local found = redis.call('ZRANGEBYSCORE', occurrences, '(' .. string.format('%.0f', after), '+inf', 'WITHSCORES')
    for i = 1, #found, 2 do
        local id, nominal = string.match(found[i], ' (.*)$'), tonumber(found[i + 1])
        local ref = redis.call('HGET', key('ids'), id)
        local body, s
        if ref then body, s = read(ref) end
        if body and s.state == WAITING and s.attempt == 0 then
            redis.call('ZREM', occurrences, found[i])
            redis.call('HDEL', key('occurrence-of'), id)
            end_waiting(ref, body, s, why)
            first = first and math.min(first, nominal) or nominal
        end
    end
    return first
end
