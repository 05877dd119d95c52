-- When something may have to be done next.

-- The earliest due of what waits in some queues, false if nothing does; and whether nothing holds jobs up.
local function earliest_due(wanted)
    local packed = redis.call('GET', key('rules'))
    local rules = packed and cmsgpack.unpack(packed) or {paused = {}}
    if rules.moving then return false, false end
    local names, queues, earliest = {}, {}, nil

    local function at_most(instant)
        instant = tonumber(instant)
        if instant and (not earliest or instant < earliest) then earliest = instant end
    end

    for _, queue in ipairs(wanted) do
        if not rules.paused[queue] then
            for priority = 0, 9 do
                names[#names + 1] = priority .. queue
                queues[#queues + 1] = priority .. ':' .. queue
            end
        end
    end
    for i, there in ipairs(each('SMISMEMBER', key('levels'), names)) do
        if there == 1 then at_most(redis.call('ZRANGE', key('due:' .. queues[i]), 0, 0, 'WITHSCORES')[2]) end
    end
    local opens = redis.call('ZRANGE', key('opens'), 0, 0, 'WITHSCORES')[2]
    at_most(opens)
    return earliest or false, not packed and not opens
end
