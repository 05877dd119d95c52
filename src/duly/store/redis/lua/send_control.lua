-- include: keys
-- Leave a message for each of some workers. A = {workers, method, args (a blob), ttl}. Answers {now, ids}.

local ids, expires = {}, now + A[4]
for i, worker in ipairs(A[1]) do
    local id = number('control')
    redis.call('HSET', key('control'), id, cmsgpack.pack({worker, A[2], blob(A[3]), expires}))
    redis.call('ZADD', key('control:' .. worker), id, id)
    redis.call('ZADD', key('control-expires'), expires, id)
    ids[i] = id
end
wake('control')
wake_up()
return {now, ids}
