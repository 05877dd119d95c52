-- include: keys records
-- The members of a gate. A = {gate}. Answers {now, for each in the order of their indexes: id, due, whether a gate has not
-- let it through, state or false}.

local found, members = redis.call('HGETALL', key('members:' .. A[1])), {}
for i = 1, #found, 2 do members[#members + 1] = {tonumber(found[i]), cmsgpack.unpack(found[i + 1])[1]} end
table.sort(members, function(a, b) return a[1] < b[1] end)
for i, member in ipairs(members) do
    local body = redis.call('HGET', key('jobs'), member[2])
    local marks, _, _, due = struct.unpack(HEAD, body)
    members[i] = {rest_of(body)[1], due, bit.band(marks, HELD), redis.call('HGET', key('state'), member[2])}
end
return {now, members}
