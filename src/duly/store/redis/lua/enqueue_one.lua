-- include:
-- Store one plain job, as enqueue.lua would: what nearly every call does. It includes nothing, because the definitions
-- would take longer than all of this, and asks for the time only where somebody may have to be woken. ARGV: the instant if
-- a clock was given, id, priority, queue, due, body, and the instant before which it has to start, or empty if it is not to be
-- given to a seat that offered to run it. Answers {now or false, 1 stored, 0 its id was there}; {false, "all"}, and
-- nothing is done, while the store is being moved.

local P, instant, id, priority, queue, due, body, expires =
    KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local call = redis.call
-- As in refs.lua, keys.lua and take.lua.
local BLOCK, WAKE_AHEAD = 256, 2000000
local STATE, RUNNING, KEPT = '<BI4I4I4BBI4I4c16ddI4I4I4I4', 1, 1 + 4 + 16

local held_up = call('EXISTS', P .. ':rules', P .. ':opens') > 0
if held_up and call('EXISTS', P .. ':moving') == 1 then return {false, 'all'} end

local number = call('HINCRBY', P .. ':meta', 'job', 1)
local ref = string.format('%013d', number)
if call('HSETNX', P .. ':ids', id, ref) == 0 then return {false, 0} end
if number % BLOCK == 0 or number == 1 then
    local block = math.floor(number / BLOCK)
    call('ZADD', P .. ':ages', block, block)
end
call('HSET', P .. ':jobs', ref, body)

local now = tonumber(instant)
local function tell_time()
    if not now then
        local time = call('TIME')
        now = time[1] * 1000000 + time[2]
    end
end

-- Give it to a seat that waits: whether one has it. The one that began to wait last is as warm as any can be. A seat whose
-- process is gone does not listen, and an offer that was taken back has no token any more. Nothing is sent to who does not
-- listen here: replicas and the other nodes of a cluster hear it too, and whoever hears it runs the job.
local idle = P .. ':idle:' .. queue
local function give()
    local offer = call('ZPOPMAX', idle)
    while offer[1] do
        tell_time()
        if tonumber(due) > now or tonumber(expires) <= now or tonumber(offer[2]) <= now then return false end
        local worker, slot = string.match(offer[1], '^(%d+) (%d+)$')
        local offers = P .. ':offers:' .. worker
        local made = call('HGET', offers, slot)
        if made then
            call('HDEL', offers, slot)
            local token, channel = string.sub(made, 1, 16), P .. ':wake:seat:' .. string.sub(made, 17)
            local listening = redis.pcall('PUBSUB', 'NUMSUB', channel) -- an error: a user who may not ask
            if not listening.err and listening[2] > 0 then
                local state = struct.pack(STATE, RUNNING, 1, 0, 0, 0, bit.band(string.byte(body), KEPT), worker, slot, token,
                    now, 0, 0, 0, 0, 0)
                call('HSET', P .. ':state', ref, state)
                call('HSET', P .. ':held:' .. worker, ref, slot)
                call('PUBLISH', channel, token .. ref .. state .. body)
                return true
            end
        end
        offer = call('ZPOPMAX', idle)
    end
    return false
end
if expires ~= '' and not held_up and give() then return {now or false, 1} end

local level = P .. ':due:' .. priority .. ':' .. queue
call('ZADD', level, due, ref)
if call('ZRANK', level, ref) > 0 then return {now or false, 1} end
call('SADD', P .. ':levels', priority .. queue)
tell_time()
if tonumber(due) <= now + WAKE_AHEAD then
    call('DEL', idle) -- they wait for later
    call('PUBLISH', P .. ':wake:work', '1')
end
return {now, 1}
