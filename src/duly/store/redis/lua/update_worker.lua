-- include: keys
-- A living worker is different from now on. A = {worker, JSON as it was seen, JSON}. Answers {now, 1}, or {now, 0} if it
-- was seen otherwise.

local seen = redis.call('HGET', key('workers'), A[1])
if not redis.call('ZSCORE', key('alive'), A[1]) then return {now, 1} end
if seen ~= A[2] then return {now, 0} end
redis.call('HSET', key('workers'), A[1], A[3])
return {now, 1}
