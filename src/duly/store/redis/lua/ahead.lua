-- include: keys records
-- How many due jobs of its queue come before a job. A = {id, cap}. Answers {now, how many}.

local ref = redis.call('HGET', key('ids'), A[1])
if not ref then return {now, 0} end
local body = redis.call('HGET', key('jobs'), ref)
local _, priority, _, due = struct.unpack(HEAD, body)
local queue, count = queue_of(body), 0
for above = 9, priority + 1, -1 do
    count = count + redis.call('ZCOUNT', key('due:' .. above .. ':' .. queue), '-inf', string.format('%.0f', now))
end
local name = key('due:' .. priority .. ':' .. queue)
local position = redis.call('ZRANK', name, ref)
local due_too = redis.call('ZCOUNT', name, '-inf', string.format('%.0f', math.min(due, now)))
count = count + (position and math.min(position, due_too) or due_too)
return {now, math.min(count, A[2])}
