-- include: keys records
-- The heartbeat. A = {worker, lease}. Answers {now, 0} if the worker was given up, else {now, 1, for each job of it that
-- was asked to stop: id, slot, token, cancel}.

local worker = A[1]
if not redis.call('ZSCORE', key('alive'), worker) then return {now, 0, {}} end
even_if_full()
redis.call('ZADD', key('alive'), now + A[2], worker)
local refs, cancels = redis.call('HKEYS', key('held:' .. worker)), {}
for i, packed in ipairs(each('HMGET', key('state'), refs)) do
    local _, _, _, _, cancel, _, _, slot, token = struct.unpack(STATE, packed)
    if cancel > 0 then
        local id = rest_of(redis.call('HGET', key('jobs'), refs[i]))[1]
        cancels[#cancels + 1] = {id, slot, token, cancel}
    end
end
return {now, 1, cancels}
