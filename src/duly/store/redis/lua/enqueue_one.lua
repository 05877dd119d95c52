-- include:
-- Store one plain job, as enqueue.lua would: what nearly every call does. It includes nothing, because the definitions
-- would take longer than all of this, and asks for the time only where somebody may have to be woken. ARGV: the instant if
-- a clock was given, id, priority, queue, due, body. Answers {now or false, 1 stored, 0 its id was there}; {false, "all"}, and
-- nothing is done, while the store is being moved.

local P, instant, id, priority, queue, due, body = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local call = redis.call
local BLOCK, WAKE_AHEAD = 256, 2000000 -- as in refs.lua and keys.lua

if call('EXISTS', P .. ':moving') == 1 then return {false, 'all'} end

local number = call('HINCRBY', P .. ':meta', 'job', 1)
local ref = string.format('%013d', number)
if call('HSETNX', P .. ':ids', id, ref) == 0 then return {false, 0} end
if number % BLOCK == 0 or number == 1 then
    local block = math.floor(number / BLOCK)
    call('ZADD', P .. ':ages', block, block)
end
call('HSET', P .. ':jobs', ref, body)

local level = P .. ':due:' .. priority .. ':' .. queue
call('ZADD', level, due, ref)
if call('ZRANK', level, ref) > 0 then return {false, 1} end
call('SADD', P .. ':levels', priority .. queue)
local now = tonumber(instant)
if not now then
    local time = call('TIME')
    now = time[1] * 1000000 + time[2]
end
if tonumber(due) <= now + WAKE_AHEAD then call('PUBLISH', P .. ':wake:work', '1') end
return {now, 1}
