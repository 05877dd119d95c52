-- include: keys records
-- Somebody has heard of the ends of these jobs. A = {id and finished of each, flat}. Answers {now}.

for i = 1, #A[1], 2 do
    local ref = redis.call('HGET', key('ids'), A[1][i])
    local ended = ref and redis.call('ZSCORE', key('unanswered'), ref)
    if ended and tonumber(ended) == A[1][i + 1] then
        redis.call('ZREM', key('unanswered'), ref)
        local body = redis.call('HGET', key('jobs'), ref)
        local _, _, flags = struct.unpack(HEAD, body)
        redis.call('HSET', key('jobs'), ref, with_head(body, {flags = bit.bor(flags, ANSWERED_FLAG)}))
    end
end
return {now}
