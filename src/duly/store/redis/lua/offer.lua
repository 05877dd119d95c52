-- include: keys earliest
-- An idle seat offers to run a job that is stored from now on. A = {worker, slot, token, channel,
-- queues, lapse in µs}. Answers {now, as next_due.lua}. The offer ends when another job comes due: that one is first. Nor is
-- there one while limits or pauses hold jobs up, which would be overtaken when they do so no more.

local LONGER = 10000 -- ms for which its keys outlive it
local worker, slot, token, channel, queues, lapse = unpack(A)
local due, free = earliest_due(queues)

even_if_full()
if free and redis.call('ZSCORE', key('alive'), worker) then
    local seat, ends, ttl = worker .. ' ' .. slot, now + lapse, math.ceil(lapse / 1000) + LONGER
    if due and due < ends then ends = due end
    redis.call('HSET', key('offers:' .. worker), slot, token .. channel)
    redis.call('PEXPIRE', key('offers:' .. worker), ttl)
    for _, queue in ipairs(queues) do
        redis.call('ZADD', key('idle:' .. queue), ends, seat)
        redis.call('PEXPIRE', key('idle:' .. queue), ttl)
    end
end
return {now, due}
