-- Histograms by the minute, in which all that a screen shows of the past is written.

-- Add to the statistics of a minute.
local function roll(minute, field, n, total)
    local name = key('roll:' .. string.format('%.0f', minute))
    if redis.call('HINCRBY', name, 'n' .. field, n) == n then redis.call('ZADD', key('minutes'), minute, minute) end
    redis.call('HINCRBY', name, 't' .. field, string.format('%.0f', total))
end
