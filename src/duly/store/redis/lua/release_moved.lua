-- include: keys records levels jobs deleting moving
-- Let jobs in transit go, or delete them. A = {ids, whether they are kept}. Answers {now}.

local refs, bodies, states = {}, {}, {}
for _, id in ipairs(A[1]) do
    local ref = redis.call('HGET', key('ids'), id)
    if ref and redis.call('SREM', key('transit'), ref) == 1 then
        local n = #refs + 1
        refs[n], bodies[n], states[n] = ref, redis.call('HGET', key('jobs'), ref), redis.call('HGET', key('state'), ref)
    end
end
for i, ref in ipairs(refs) do
    local waits = not states[i] or struct.unpack('<B', states[i]) == WAITING
    if A[2] then
        if waits and not is_held(bodies[i]) then enter_index(ref, bodies[i]) end
    else
        if waits then leave_index(ref, bodies[i]) end
        if waits and bit.band(struct.unpack('<B', bodies[i]), KEYED) > 0 then free_key(ref, bodies[i]) end
        local packed = redis.call('HGET', key('wanted-of'), rest_of(bodies[i])[1])
        if packed then want_no_more(unpack(cmsgpack.unpack(packed))) end
    end
end
if not A[2] then delete(refs, bodies, states) end
wake_up()
return {now}
