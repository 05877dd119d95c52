-- include: keys records
-- What became of some jobs. A = {ids}. Answers {now, for each false, or its due and state or false}.

local refs, answers = each('HMGET', key('ids'), A[1]), {}
for i, ref in ipairs(refs) do
    if ref then
        local _, _, _, due = struct.unpack(HEAD, redis.call('HGET', key('jobs'), ref))
        answers[i] = {due, redis.call('HGET', key('state'), ref)}
    else
        answers[i] = false
    end
end
return {now, answers}
