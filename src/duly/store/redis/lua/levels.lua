-- The index of what waits: one sorted set for each queue and priority in use.

local function level(queue, priority) return key('due:' .. priority .. ':' .. queue) end

-- Put jobs into the index of one queue and priority: pairs of due and ref. Wakes workers if one comes before all that
-- was there: who sleeps does so until the first. What they have offered they take back: it is for jobs that come after this.
local function index(queue, priority, pairs_, earliest)
    local name = level(queue, priority)
    local first = redis.call('ZRANGE', name, 0, 0, 'WITHSCORES')
    each('ZADD', name, pairs_)
    if not first[1] then redis.call('SADD', key('levels'), priority .. queue) end
    if tonumber(priority) and earliest <= now + WAKE_AHEAD and (not first[1] or earliest < tonumber(first[2])) then
        redis.call('DEL', key('idle:' .. queue))
        wake('work')
    end
end

local function unindex(queue, priority, refs)
    local name = level(queue, priority)
    each('ZREM', name, refs)
    if redis.call('EXISTS', name) == 0 then redis.call('SREM', key('levels'), priority .. queue) end
end
