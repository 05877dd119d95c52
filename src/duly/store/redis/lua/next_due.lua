-- include: keys
-- The earliest due of what waits in some queues. A = {queues}. Answers {now, due or false}.

local packed = redis.call('GET', key('rules'))
local rules = packed and cmsgpack.unpack(packed) or {paused = {}}
if rules.moving then return {now, false} end
local paused = rules.paused
local names, queues, earliest = {}, {}, nil

local function at_most(instant)
    instant = tonumber(instant)
    if instant and (not earliest or instant < earliest) then earliest = instant end
end

for _, queue in ipairs(A[1]) do
    if not paused[queue] then
        for priority = 0, 9 do
            names[#names + 1] = priority .. queue
            queues[#queues + 1] = priority .. ':' .. queue
        end
    end
end
for i, there in ipairs(each('SMISMEMBER', key('levels'), names)) do
    if there == 1 then at_most(redis.call('ZRANGE', key('due:' .. queues[i]), 0, 0, 'WITHSCORES')[2]) end
end
at_most(redis.call('ZRANGE', key('opens'), 0, 0, 'WITHSCORES')[2])
return {now, earliest or false}
