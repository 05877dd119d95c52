-- include:
-- Reserve the one job that is due, as exchange.lua would: what nearly always happens when somebody idle is woken. It
-- includes nothing, because the definitions would take longer than all of this. ARGV: the instant if a clock was given,
-- worker, slot, token, 1 if the seat has made an offer (which this takes back) or empty, and the queues, each once.
-- Answers {now, {}, lease or nothing, 0, 0}, a lease being ref, body, state; {now, "all", 1 or 0}, and nothing else is done, if
-- exchange.lua has to do it: there are limits or pauses (1), several are due, or the one has run before or has expired;
-- {now, "given"}, and nothing is done, if the seat was given a job.

local P, instant, worker, slot, token, offered = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local call = redis.call
-- As in keys.lua: a body's head and a state, a running one, and the marks of the one that the other has too.
local HEAD, STATE, RUNNING, KEPT = '<BBI4dd', '<BI4I4I4BBI4I4c16ddI4I4I4I4', 1, 1 + 4 + 16

local now = tonumber(instant)
if not now then
    local time = call('TIME')
    now = time[1] * 1000000 + time[2]
end
if offered ~= '' and call('HDEL', P .. ':offers:' .. worker, slot) == 0 then return {now, 'given'} end
if call('EXISTS', P .. ':rules', P .. ':opens') > 0 then return {now, 'all', 1} end
if not call('ZSCORE', P .. ':alive', worker) then return {now, {}, {}, 0, 0} end

local levels = {}
for at = 6, #ARGV do
    for priority = 9, 0, -1 do levels[#levels + 1] = priority .. ARGV[at] end
end
local there, level, name, ref = call('SMISMEMBER', P .. ':levels', unpack(levels)), nil, nil, nil
for i = 1, #levels do
    if there[i] == 1 then
        local one = P .. ':due:' .. string.sub(levels[i], 1, 1) .. ':' .. string.sub(levels[i], 2)
        local due = call('ZRANGEBYSCORE', one, '-inf', now, 'LIMIT', 0, 2)
        if due[2] or due[1] and ref then return {now, 'all', 0} end
        if due[1] then level, name, ref = levels[i], one, due[1] end
    end
end
if not ref then return {now, {}, {}, 0, 0} end

local body = call('HGET', P .. ':jobs', ref)
local marks, _, _, _, expires = struct.unpack(HEAD, body)
if expires <= now or call('HEXISTS', P .. ':state', ref) == 1 then return {now, 'all', 0} end

call('ZREM', name, ref) -- first, because it needs no memory: a full server lets this script go on then
if call('EXISTS', name) == 0 then call('SREM', P .. ':levels', level) end
local state = struct.pack(STATE, RUNNING, 1, 0, 0, 0, bit.band(marks, KEPT), worker, slot, token, now, 0, 0, 0, 0, 0)
call('HSET', P .. ':state', ref, state)
call('HSET', P .. ':held:' .. worker, ref, slot)
return {now, {}, {ref, body, state}, 0, 0}
