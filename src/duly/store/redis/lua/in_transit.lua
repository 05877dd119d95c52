-- include: keys records
-- Some of the jobs in transit. A = {how many}. Answers {now, ids}.

local ids = {}
for i, ref in ipairs(redis.call('SRANDMEMBER', key('transit'), A[1])) do
    local body = redis.call('HGET', key('jobs'), ref)
    if body then ids[#ids + 1] = rest_of(body)[1] else redis.call('SREM', key('transit'), ref) end
end
return {now, ids}
