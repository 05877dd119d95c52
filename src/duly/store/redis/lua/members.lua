-- include: keys records
-- The members of a gate. A = {gate, how many at most, refs or false: members of it}. Answers {now, for each in the order
-- of their indexes: id, due, whether a gate has not let it through, state or false}; if there are more than at most {now, refs},
-- to be asked for some at a time.

local gate, at_most, refs = A[1], A[2], A[3]

-- By index, from 0 on with holes: counting up is quicker than sorting.
local function all_refs()
    local found, by_index, last, all = redis.call('HGETALL', key('members:' .. gate)), {}, -1, {}
    for i = 1, #found, 2 do
        local index = tonumber(found[i])
        by_index[index], last = cmsgpack.unpack(found[i + 1])[1], math.max(last, index)
    end
    for index = 0, last do all[#all + 1] = by_index[index] end
    return all
end

if not refs then
    refs = all_refs()
    if #refs > at_most then return {now, refs} end
end
local bodies, states, answers = each('HMGET', key('jobs'), refs), each('HMGET', key('state'), refs), {}
for i = 1, #refs do
    if bodies[i] then -- it may have been deleted since its ref was given
        local marks, _, _, due = struct.unpack(HEAD, bodies[i])
        answers[#answers + 1] = {rest_of(bodies[i])[1], due, bit.band(marks, HELD), states[i]}
    end
end
return {now, answers}
