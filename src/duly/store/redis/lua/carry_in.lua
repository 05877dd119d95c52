-- include: keys records levels jobs refs moving
-- Store what came from another store and is not there yet, in transit. A = {gates, records}. Gates: id and a record as in
-- "gates". Records: id, body, state or false, key or false, finished, history (attempts), effects (key and value of each),
-- memberships (gate, index, counted), after or false, occurrence (schedule, nominal, member) or false, wanted (namespace,
-- key, MessagePack) or false. Bodies, states, attempts and values are blobs. Answers {now}.

for _, gate in ipairs(A[1]) do redis.call('HSETNX', key('gates'), gate[1], cmsgpack.pack(gate[2])) end

local function keep_key(ref, body, unique)
    if redis.call('HSETNX', key('keys'), unique, ref) == 1 then return body end
    return with_head(body, {marks = bit.band(struct.unpack('<B', body), bit.bnot(KEYED))})
end

local function carry_in(id, body, packed, unique, finished, history, effects, memberships, after, occurrence, wanted)
    local ref = ref_of(new_refs(1))
    local state = packed and struct.unpack('<B', packed) or WAITING
    if unique and state == WAITING then body = keep_key(ref, body, unique) end
    redis.call('HSET', key('ids'), id, ref)
    set_body(ref, body)
    if packed then redis.call('HSET', key('state'), ref, packed) end
    if state >= SUCCEEDED then
        redis.call('ZADD', key('done:' .. state), finished, ref)
        local _, _, flags = struct.unpack(HEAD, body)
        if bit.band(flags, ANSWER_FLAG + ANSWERED_FLAG) == ANSWER_FLAG then
            redis.call('ZADD', key('unanswered'), finished, ref)
        end
    end
    for _, attempt in ipairs(history) do redis.call('RPUSH', key('history:' .. ref), blob(attempt)) end
    for i = 1, #effects, 2 do redis.call('HSET', key('effects:' .. ref), effects[i], blob(effects[i + 1])) end
    for _, one in ipairs(memberships) do
        redis.call('HSET', key('members:' .. one[1]), one[2], cmsgpack.pack({ref, one[3]}))
    end
    if after then redis.call('SADD', key('after:' .. after), ref) end
    if state == WAITING and is_held(body) then enter_index(ref, body) end
    if occurrence then
        local zset, nominal = key('occurrences:' .. occurrence[1]), occurrence[2]
        if redis.call('ZCOUNT', zset, nominal, nominal) == 0 then
            redis.call('ZADD', zset, nominal, occurrence[3])
            redis.call('HSET', key('occurrence-of'), id, cmsgpack.pack({occurrence[1], nominal}))
        end
    end
    if wanted and redis.call('HEXISTS', key('synced:' .. wanted[1]), wanted[2]) == 0 then
        want(wanted[1], wanted[2], id, blob(wanted[3]))
    end
    redis.call('SADD', key('transit'), ref)
end

for _, one in ipairs(A[2]) do
    if redis.call('HEXISTS', key('ids'), one[1]) == 0 then
        carry_in(one[1], blob(one[2]), blob(one[3]), unpack(one, 4, 11))
    end
end
return {now}
