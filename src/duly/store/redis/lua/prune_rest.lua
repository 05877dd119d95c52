-- include: keys
-- Delete old records that are no jobs: workers that are gone and hold nothing, lanes that are not in use, statistics, the
-- audit trail, messages. A = {before, before for statistics and the trail}. Answers {now}.

local before, failed_before, KEEP_MESSAGES, AT_MOST = A[1], A[2], 3600000000, 500

local gone = redis.call('HGETALL', key('gone'))
for i = 1, #gone, 2 do
    local worker = gone[i]
    if cmsgpack.unpack(gone[i + 1])[1] < before and redis.call('EXISTS', key('held:' .. worker)) == 0 then
        redis.call('HDEL', key('gone'), worker)
        redis.call('HDEL', key('workers'), worker)
    end
end

local tats = redis.call('HGETALL', key('tats'))
for i = 1, #tats, 2 do
    if tonumber(tats[i + 1]) < before and not redis.call('ZSCORE', key('opens'), tats[i]) then
        redis.call('HDEL', key('tats'), tats[i])
    end
end

local last = math.floor(failed_before / 60000000)
for _, minute in ipairs(redis.call('ZRANGEBYSCORE', key('minutes'), '-inf', '(' .. last, 'LIMIT', 0, AT_MOST)) do
    redis.call('UNLINK', key('roll:' .. minute))
    redis.call('ZREM', key('minutes'), minute)
end

local lines = redis.call('HGETALL', key('audit'))
for i = 1, #lines, 2 do
    if cmsgpack.unpack(lines[i + 1])[1] < failed_before then redis.call('HDEL', key('audit'), lines[i]) end
end

local expired = '(' .. string.format('%.0f', now - KEEP_MESSAGES)
for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('control-expires'), '-inf', expired, 'LIMIT', 0, AT_MOST)) do
    local worker = cmsgpack.unpack(redis.call('HGET', key('control'), id))[1]
    redis.call('HDEL', key('control'), id)
    redis.call('HDEL', key('replies'), id)
    redis.call('ZREM', key('control:' .. worker), id)
    redis.call('ZREM', key('control-expires'), id)
end
return {now}
