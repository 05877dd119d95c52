-- include: keys
-- A new worker incarnation. A = {JSON of WorkerInfo, lease}. Answers {now, its id}.

even_if_full()
local id = number('worker')
redis.call('HSET', key('workers'), id, A[1])
redis.call('ZADD', key('alive'), now + A[2], id)
return {now, id}
