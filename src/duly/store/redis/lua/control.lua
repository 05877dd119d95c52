-- include: keys
-- The messages that wait for a worker. A = {worker}. Answers {now, id, method, args and expires of each}.

local found = {}
for _, id in ipairs(redis.call('ZRANGE', key('control:' .. A[1]), 0, -1)) do
    local _, method, args, expires = unpack(cmsgpack.unpack(redis.call('HGET', key('control'), id)))
    if expires > now then found[#found + 1] = {tonumber(id), method, args, expires} end
end
return {now, found}
