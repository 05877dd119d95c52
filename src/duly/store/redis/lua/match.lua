-- include: keys records filter
-- Of jobs named by id, or of those that run (A[1] is false), those that match. A = {ids, filter}. Answers {now, ref and
-- due of each}.

local refs, found = {}, {}
if A[1] then
    for _, ref in ipairs(each('HMGET', key('ids'), A[1])) do
        if ref then refs[#refs + 1] = ref end
    end
else
    for _, worker in ipairs(redis.call('HKEYS', key('workers'))) do
        for _, ref in ipairs(redis.call('HKEYS', key('held:' .. worker))) do refs[#refs + 1] = ref end
    end
end
local bodies, packed = each('HMGET', key('jobs'), refs), each('HMGET', key('state'), refs)
for i, ref in ipairs(refs) do
    if matches(A[2], bodies[i], packed[i]) then
        local _, _, _, due = struct.unpack(HEAD, bodies[i])
        found[#found + 1], found[#found + 2] = ref, due
    end
end
return {now, found}
