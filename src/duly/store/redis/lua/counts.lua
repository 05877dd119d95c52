-- include: keys records
-- How much waits and runs. A = {cap}. Answers {now, for each level: queue, ready, scheduled, oldest due of the ready or
-- false; queue and number of what runs}.

local cap, levels, running, running_list = A[1], {}, {}, {}
local text = string.format('%.0f', now)
for _, member in ipairs(redis.call('SMEMBERS', key('levels'))) do
    local priority, queue = string.sub(member, 1, 1), string.sub(member, 2)
    local name = key('due:' .. priority .. ':' .. queue)
    local first = tonumber(redis.call('ZRANGE', name, 0, 0, 'WITHSCORES')[2])
    if priority == 'p' then
        levels[#levels + 1] = {queue, math.min(cap, redis.call('ZCARD', name)), 0, first}
    elseif priority ~= 'h' then
        local ready = redis.call('ZCOUNT', name, '-inf', text)
        local scheduled = redis.call('ZCARD', name) - ready
        levels[#levels + 1] = {queue, math.min(cap, ready), math.min(cap, scheduled), first <= now and first or false}
    end
end
for _, worker in ipairs(redis.call('HKEYS', key('workers'))) do
    local refs = redis.call('HKEYS', key('held:' .. worker))
    for _, body in ipairs(each('HMGET', key('jobs'), refs)) do
        local queue = queue_of(body)
        running[queue] = (running[queue] or 0) + 1
    end
end
for queue, n in pairs(running) do running_list[#running_list + 1], running_list[#running_list + 2] = queue, n end
return {now, levels, running_list}
