-- Which jobs people mean: A = {"ids" or "refs", list, filter, ...}. Ids are jobs that were named, and each is answered
-- for; refs were found by a scan, and those that match no longer are passed over.

-- Answers {id, verdict} for each, the verdict being what act(ref, body, state) says.
local function pick(act)
    local answers, by_id = {}, A[1] == 'ids'
    for _, one in ipairs(A[2]) do
        local ref = one
        if by_id then ref = redis.call('HGET', key('ids'), one) end
        local body = ref and redis.call('HGET', key('jobs'), ref)
        local packed = body and redis.call('HGET', key('state'), ref)
        if body and matches(A[3], body, packed) then
            answers[#answers + 1] = {rest_of(body)[1], act(ref, body, state_of(packed))}
        elseif by_id then
            answers[#answers + 1] = {one, 'unknown'}
        end
    end
    return answers
end
