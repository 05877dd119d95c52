-- include: keys records filter
-- All that is known of some jobs that match a filter. A = {refs, filter}. Answers {now, ref, body, state or false and
-- lane or false of each that is still there}.

local bodies, packed = each('HMGET', key('jobs'), A[1]), each('HMGET', key('state'), A[1])
local lanes, found = each('HMGET', key('lane-of'), A[1]), {}
for i, ref in ipairs(A[1]) do
    if bodies[i] and matches(A[2], bodies[i], packed[i]) then
        local n = #found
        found[n + 1], found[n + 2], found[n + 3], found[n + 4] = ref, bodies[i], packed[i], lanes[i]
    end
end
return {now, found}
