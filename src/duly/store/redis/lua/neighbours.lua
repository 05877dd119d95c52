-- include: keys records
-- The jobs that share a gate with one of these. A = {ids}. Answers {now, id and state of each}.

local found, gates = {}, {}

local function note(ref)
    local body = redis.call('HGET', key('jobs'), ref)
    if not body then return end
    local packed = redis.call('HGET', key('state'), ref)
    found[#found + 1] = rest_of(body)[1]
    found[#found + 1] = packed and struct.unpack('<B', packed) or WAITING
end

for _, id in ipairs(A[1]) do
    local ref = redis.call('HGET', key('ids'), id)
    local rest = ref and rest_of(redis.call('HGET', key('jobs'), ref)) or {}
    for _, membership in ipairs(rest[8] or {}) do gates[membership[1]] = true end
    if rest[7] then gates[rest[7]] = true end
end
for gate in pairs(gates) do
    for _, packed in ipairs(redis.call('HVALS', key('members:' .. gate))) do note(cmsgpack.unpack(packed)[1]) end
    for _, ref in ipairs(redis.call('SMEMBERS', key('after:' .. gate))) do note(ref) end
end
return {now, found}
