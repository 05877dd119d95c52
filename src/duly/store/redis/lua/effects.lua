-- include: keys
-- The steps a job has recorded. A = {id}. Answers {now, key and value of each}.

local ref = redis.call('HGET', key('ids'), A[1])
return {now, ref and redis.call('HGETALL', key('effects:' .. ref)) or {}}
