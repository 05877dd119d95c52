-- include: keys
-- The audit trail. A = {"record", id or 0, at, JSON}: answers {now, id}. A = {"read", before or false, limit}: answers
-- {now, id and JSON of each, newest first}.

if A[1] == 'record' then
    local id = A[2]
    if id == 0 then
        id = number('audit')
    elseif redis.call('HEXISTS', key('audit'), id) == 0 then
        return {now, id}
    end
    redis.call('HSET', key('audit'), id, cmsgpack.pack({A[3], A[4]}))
    return {now, id}
end
local ids, found = {}, {}
for i, id in ipairs(redis.call('HKEYS', key('audit'))) do
    if not A[2] or tonumber(id) < A[2] then ids[#ids + 1] = tonumber(id) end
end
table.sort(ids, function(a, b) return a > b end)
for i = 1, math.min(#ids, A[3]) do
    found[i] = {ids[i], cmsgpack.unpack(redis.call('HGET', key('audit'), ids[i]))[2]}
end
return {now, found}
