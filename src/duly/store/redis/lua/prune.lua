-- include: keys records deleting
-- Delete old jobs that ended in one state. A = {state, before, how many to pass over, how many to look at}. Answers {now, how
-- many were deleted, how many are needed by others and stay}.

local name, before = key('done:' .. A[1]), '(' .. string.format('%.0f', A[2])
local refs, bodies, states, kept = {}, {}, {}, 0
local found = redis.call('ZRANGEBYSCORE', name, '-inf', before, 'LIMIT', A[3], A[4])
local all_bodies, all_states = each('HMGET', key('jobs'), found), each('HMGET', key('state'), found)
for i, ref in ipairs(found) do
    if is_needed(all_bodies[i]) then
        kept = kept + 1
    else
        local n = #refs + 1
        refs[n], bodies[n], states[n] = ref, all_bodies[i], all_states[i]
    end
end
delete(refs, bodies, states)
return {now, #refs, kept}
