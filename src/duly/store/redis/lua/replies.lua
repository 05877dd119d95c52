-- include: keys
-- What was answered to some messages. A = {ids}. Answers {now, id, worker and JSON or false of each that is known}.

local found = {}
for _, id in ipairs(A[1]) do
    local packed = redis.call('HGET', key('control'), id)
    if packed then found[#found + 1] = {id, cmsgpack.unpack(packed)[1], redis.call('HGET', key('replies'), id)} end
end
return {now, found}
