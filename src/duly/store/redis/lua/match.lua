-- include: keys records filter
-- Of the jobs named by id, of those that run or of those that are after a gate, those that match. A = {"ids" or "running" or
-- "after", filter, ids}. Answers {now, ref and due of each}.

local refs, found = {}, {}
if A[1] == 'ids' then
    for _, ref in ipairs(each('HMGET', key('ids'), A[3])) do
        if ref then refs[#refs + 1] = ref end
    end
elseif A[1] == 'after' then
    refs = redis.call('SMEMBERS', key('after:' .. A[2].after))
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
