-- include: keys
-- A job's ended attempts and its state. A = {id}. Answers {now, false}, or {now, attempts, state or false}.

local ref = redis.call('HGET', key('ids'), A[1])
if not ref then return {now, false} end
return {now, redis.call('LRANGE', key('history:' .. ref), 0, -1), redis.call('HGET', key('state'), ref)}
