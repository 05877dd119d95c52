-- include: keys records levels jobs deleting moving
-- Delete each parcel whose jobs are as they were read. A = {parcels}; each a list of id and SHA-1 of body and state, flat.
-- Answers {now, for each: 1 gone, 0 something has changed}.

local answers = {}

local function is_as_read(parcel)
    local refs, bodies, states = {}, {}, {}
    for i = 1, #parcel, 2 do
        local ref = redis.call('HGET', key('ids'), parcel[i])
        local body = ref and redis.call('HGET', key('jobs'), ref)
        local packed = ref and redis.call('HGET', key('state'), ref)
        if not body or redis.sha1hex(body .. (packed or '')) ~= parcel[i + 1] then return nil end
        refs[#refs + 1], bodies[#bodies + 1], states[#states + 1] = ref, body, packed
    end
    return refs, bodies, states
end

for at, parcel in ipairs(A[1]) do
    local refs, bodies, states = is_as_read(parcel)
    answers[at] = refs and 1 or 0
    for i, ref in ipairs(refs or {}) do
        local waits = not states[i] or struct.unpack('<B', states[i]) == WAITING
        if waits then leave_index(ref, bodies[i]) end
        if waits and bit.band(struct.unpack('<B', bodies[i]), KEYED) > 0 then free_key(ref, bodies[i]) end
        local packed = redis.call('HGET', key('wanted-of'), rest_of(bodies[i])[1])
        if packed then want_no_more(unpack(cmsgpack.unpack(packed))) end
    end
    if refs then delete(refs, bodies, states) end
end
return {now, answers}
