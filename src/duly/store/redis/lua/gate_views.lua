-- include: keys
-- How gates stand. A = {ids}. Answers {now, for each false, or size, left, failed, id of the first failed or false, finished
-- or false}.

local found = {}
for i, packed in ipairs(each('HMGET', key('gates'), A[1])) do found[i] = packed and cmsgpack.unpack(packed) end
return {now, found}
