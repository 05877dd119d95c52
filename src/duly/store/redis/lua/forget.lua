-- include: keys records deleting
-- Delete jobs that have ended. A = {ids}. Answers {now, how many}.

local refs, bodies, states, seen = {}, {}, {}, {}
for i, ref in ipairs(each('HMGET', key('ids'), A[1])) do
    local packed = ref and not seen[ref] and redis.call('HGET', key('state'), ref)
    local body = packed and struct.unpack('<B', packed) >= SUCCEEDED and redis.call('HGET', key('jobs'), ref)
    if body and not is_needed(body) then
        local n = #refs + 1
        seen[ref] = true
        refs[n], bodies[n], states[n] = ref, body, packed
    end
end
delete(refs, bodies, states)
return {now, #refs}
