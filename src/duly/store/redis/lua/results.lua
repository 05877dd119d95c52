-- include: keys records
-- What became of some jobs. A = {ids}. Answers {now, for each false, or its due, whether a gate has not let it through, and
-- its state or false}.

local refs, answers = each('HMGET', key('ids'), A[1]), {}
for i, ref in ipairs(refs) do
    if ref then
        local marks, _, _, due = struct.unpack(HEAD, redis.call('HGET', key('jobs'), ref))
        answers[i] = {due, bit.band(marks, HELD), redis.call('HGET', key('state'), ref)}
    else
        answers[i] = false
    end
end
return {now, answers}
