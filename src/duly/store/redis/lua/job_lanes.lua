-- include: keys records levels jobs lanes
-- The limits a job has to pass. A = {id}. Answers {now, for each: lane, rate or false, per or false, concurrency or
-- false, tat, how many count in it}.

local ref = redis.call('HGET', key('ids'), A[1])
if not ref then return {now, {}} end
local body = redis.call('HGET', key('jobs'), ref)
local rest, found = rest_of(body), {}
for _, gate in ipairs(lanes_of(load_rules(), rest[2], queue_of(body), rest[6])) do
    local lane, limit = gate[1], gate[2]
    local tat = tonumber(redis.call('HGET', key('tats'), lane) or 0)
    found[#found + 1] = {plain(lane), limit.rate or false, limit.per or false, limit.concurrency or false, tat,
        redis.call('SCARD', key('holding:' .. lane))}
end
return {now, found}
