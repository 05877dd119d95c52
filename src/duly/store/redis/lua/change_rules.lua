-- include: keys rules
-- Limits and pauses. A = {what, ...}; answers {now, 1 if there was something to change, else 0}.
--   set FIELD JSON   unset FIELD   declare {task, ...} {FIELD, JSON, ...}   pause QUEUE   resume QUEUE
-- A field is DECLARED:SCOPE:NAME.

local what, changes = A[1], {}

-- What an app's code says of these tasks, in place of what it said before.
function changes.declare()
    local tasks, before, same = {}, {}, true
    for _, task in ipairs(A[2]) do tasks[task] = true end
    local stored = redis.call('HGETALL', key('limits'))
    for i = 1, #stored, 2 do
        local declared, scope, name = string.match(stored[i], '^(.):(%a+):(.*)$')
        if declared == '1' and scope ~= 'queue' and tasks[name] then before[stored[i]] = stored[i + 1] end
    end
    for i = 1, #A[3], 2 do
        same = same and before[A[3][i]] == A[3][i + 1]
        before[A[3][i]] = nil
    end
    if same and not next(before) then return 0 end
    for field in pairs(before) do redis.call('HDEL', key('limits'), field) end
    if #A[3] > 0 then each('HSET', key('limits'), A[3]) end
    return 1
end

function changes.set() return 1, redis.call('HSET', key('limits'), A[2], A[3]) end
function changes.unset() return redis.call('HDEL', key('limits'), A[2]) end
function changes.pause() return redis.call('HSETNX', key('pauses'), A[2], string.format('%.0f', now)) end
function changes.resume() return redis.call('HDEL', key('pauses'), A[2]) end

local changed = changes[what]()
if changed > 0 then rules_changed() end
wake_up()
return {now, changed}
