-- include: keys records deleting
-- Delete old jobs. A = {before, before (failed and uncertain ones), how many at most}. Answers {now, how many}.

local found = {}
local before = {[SUCCEEDED] = A[1], [CANCELLED] = A[1], [FAILED] = A[2], [UNCERTAIN] = A[2]}
for _, state in ipairs({SUCCEEDED, CANCELLED, FAILED, UNCERTAIN}) do
    local old = redis.call('ZRANGEBYSCORE', key('done:' .. state), '-inf', '(' .. string.format('%.0f', before[state]),
        'LIMIT', 0, A[3] - #found)
    for _, ref in ipairs(old) do found[#found + 1] = ref end
end
delete(found, each('HMGET', key('jobs'), found), each('HMGET', key('state'), found))
return {now, #found}
