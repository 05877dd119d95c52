-- include: keys
-- Answer a message. A = {id, JSON (a blob)}. The first answer stays. Answers {now}.

even_if_full()
local packed = redis.call('HGET', key('control'), A[1])
if packed and redis.call('HSETNX', key('replies'), A[1], blob(A[2])) == 1 then
    redis.call('ZREM', key('control:' .. cmsgpack.unpack(packed)[1]), A[1])
end
wake('replies')
wake_up()
return {now}
