-- include: keys
-- The statistics of the minutes from A[1] to A[2] (exclusive). Answers {now, for each: minute, fields and values}.

local found = {}
local last = '(' .. string.format('%.0f', A[2])
for _, minute in ipairs(redis.call('ZRANGEBYSCORE', key('minutes'), string.format('%.0f', A[1]), last)) do
    found[#found + 1] = {tonumber(minute), redis.call('HGETALL', key('roll:' .. minute))}
end
return {now, found}
