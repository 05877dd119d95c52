-- include: keys
-- What is known of a namespace. A = {namespace}. Answers {now, for each key: key, MessagePack (job id, due wanted), ref,
-- body, state (each false if there is none)}.

local known, found = redis.call('HGETALL', key('synced:' .. A[1])), {}
for i = 1, #known, 2 do
    local ref = redis.call('HGET', key('ids'), cmsgpack.unpack(known[i + 1])[1])
    found[#found + 1] = {known[i], known[i + 1], ref, ref and redis.call('HGET', key('jobs'), ref),
        ref and redis.call('HGET', key('state'), ref)}
end
return {now, found}
