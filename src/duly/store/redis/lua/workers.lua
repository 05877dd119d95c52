-- include: keys
-- Every registered worker. A = {}. Answers {now, for each: id, JSON, end of its lease}.

local stored, found = redis.call('HGETALL', key('workers')), {}
for i = 1, #stored, 2 do
    local expires = redis.call('ZSCORE', key('alive'), stored[i])
    if not expires then expires = cmsgpack.unpack(redis.call('HGET', key('gone'), stored[i]))[2] end
    found[#found + 1] = {tonumber(stored[i]), stored[i + 1], tonumber(expires)}
end
return {now, found}
