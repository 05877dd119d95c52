-- include: keys records
-- The members of a gate. A = {gate}. Answers {now, for each in the order of their indexes: id, due, whether a gate has not
-- let it through, state or false}.

local found, members = redis.call('HGETALL', key('members:' .. A[1])), {}
for i = 1, #found, 2 do members[#members + 1] = {tonumber(found[i]), cmsgpack.unpack(found[i + 1])[1]} end
table.sort(members, function(a, b) return a[1] < b[1] end)
local refs = {}
for i = 1, #members do refs[i] = members[i][2] end
local bodies, states = each('HMGET', key('jobs'), refs), each('HMGET', key('state'), refs)
for i = 1, #members do
    local marks, _, _, due = struct.unpack(HEAD, bodies[i])
    members[i] = {rest_of(bodies[i])[1], due, bit.band(marks, HELD), states[i]}
end
return {now, members}
