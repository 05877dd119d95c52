-- include: keys records
-- Some jobs with all that belongs to them. A = {ids}. Answers {now, for each that is there: id, body, state or false, history,
-- effects (key and value of each), memberships (gate, index, counted), occurrence (schedule, nominal, member) or false,
-- namespace, key and MessagePack of what it is wanted for, or false}.

local found = {}
for _, id in ipairs(A[1]) do
    local ref = redis.call('HGET', key('ids'), id)
    local body = ref and redis.call('HGET', key('jobs'), ref)
    if body then
        local counted, occurrence, wanted = {}, false, false
        for i, membership in ipairs(rest_of(body)[8] or {}) do
            local packed = redis.call('HGET', key('members:' .. membership[1]), membership[2])
            counted[i] = {membership[1], membership[2], packed and cmsgpack.unpack(packed)[2] or 0}
        end
        local packed = redis.call('HGET', key('occurrence-of'), id)
        if packed then
            local schedule, nominal = unpack(cmsgpack.unpack(packed))
            local member = redis.call('ZRANGEBYSCORE', key('occurrences:' .. schedule), nominal, nominal)[1]
            occurrence = member and {schedule, nominal, member} or false
        end
        packed = redis.call('HGET', key('wanted-of'), id)
        if packed then
            local namespace, unique = unpack(cmsgpack.unpack(packed))
            wanted = {namespace, unique, redis.call('HGET', key('synced:' .. namespace), unique)}
        end
        found[#found + 1] = {id, body, redis.call('HGET', key('state'), ref),
            redis.call('LRANGE', key('history:' .. ref), 0, -1), redis.call('HGETALL', key('effects:' .. ref)),
            counted, occurrence, wanted}
    end
end
return {now, found}
