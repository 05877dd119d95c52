-- Limits and pauses are few; what of them is in force is kept as one value, which each reserve reads.

-- Work out what is in force, and look at every lane afresh.
local function rules_changed()
    local rules = {limits = {}, paused = {}, exclusive = false, any = false}
    local stored = redis.call('HGETALL', key('limits'))
    for _, declared in ipairs({'1', '0'}) do -- what was set by hand comes later and wins
        for i = 1, #stored, 2 do
            if string.sub(stored[i], 1, 1) == declared then
                local limit = cjson.decode(stored[i + 1])
                rules.limits[string.sub(stored[i], 3)] = {
                    rate = tonumber(limit.rate), per = tonumber(limit.per), concurrency = tonumber(limit.concurrency)}
                rules.any = true
            end
        end
    end
    local pauses = redis.call('HGETALL', key('pauses'))
    for i = 1, #pauses, 2 do rules.paused[pauses[i]] = tonumber(pauses[i + 1]) end
    local schedules = redis.call('HVALS', key('schedules'))
    for _, packed in ipairs(schedules) do
        if cmsgpack.unpack(packed)[6] ~= 'allow' then rules.exclusive, rules.any = true, true end
    end
    rules.moving = redis.call('EXISTS', key('moving')) == 1
    if rules.any or #pauses > 0 or rules.moving then
        redis.call('SET', key('rules'), cmsgpack.pack(rules))
    else
        redis.call('DEL', key('rules'))
    end
    for _, lane in ipairs(redis.call('ZRANGE', key('opens'), 0, -1)) do redis.call('ZADD', key('opens'), 0, lane) end
    wake('work')
end
