-- What a job goes through. Each function leaves every key right.

local function lane_member(priority, due, ref) return string.format('%d%019.0f', 9 - priority, due) .. ref end

-- A waiting job leaves wherever it waits.
local function leave_index(ref, body)
    local marks, priority, _, due = struct.unpack(HEAD, body)
    if bit.band(marks, HELD) > 0 then
        redis.call('ZREM', key('aside-expires'), ref)
        return unindex(queue_of(body), 'h', {ref})
    end
    local lane = redis.call('HGET', key('lane-of'), ref)
    if not lane then return unindex(queue_of(body), priority, {ref}) end
    redis.call('HDEL', key('lane-of'), ref)
    redis.call('ZREM', key('lane:' .. lane), lane_member(priority, due, ref))
    redis.call('ZREM', key('aside-expires'), ref)
    unindex(queue_of(body), 'p', {ref})
end

local function enter_index(ref, body)
    local marks, priority, flags, due, expires = struct.unpack(HEAD, body)
    if bit.band(marks, HELD) == 0 then return index(queue_of(body), priority, {due, ref}, due) end
    index(queue_of(body), 'h', {due, ref}, due)
    if expires < math.huge and bit.band(flags, FROM_RELEASE) == 0 then
        redis.call('ZADD', key('aside-expires'), expires, ref)
    end
end

local function set_body(ref, body) redis.call('HSET', key('jobs'), ref, body) end

-- The key of a job that has ended is free, unless it was handed over before.
local function free_key(ref, body)
    local unique = rest_of(body)[3]
    if unique and redis.call('HGET', key('keys'), unique) == ref then redis.call('HDEL', key('keys'), unique) end
end

local function give_up_key(ref, body, s)
    free_key(ref, body)
    local marks = struct.unpack('<B', body)
    set_body(ref, with_head(body, {marks = bit.band(marks, bit.bnot(KEYED))}))
    s.marks = bit.band(s.marks, bit.bnot(KEYED))
    write_state(ref, s)
end

-- A job that runs no longer counts in no lane, and the lanes in which it counted open.
local function let_go(ref)
    local lanes = redis.call('HGET', key('holds'), ref)
    if not lanes then return end
    redis.call('HDEL', key('holds'), ref)
    for _, lane in ipairs(cmsgpack.unpack(lanes)) do
        redis.call('SREM', key('holding:' .. lane), ref)
        if redis.call('ZSCORE', key('opens'), lane) then redis.call('ZADD', key('opens'), 0, lane) end
    end
end

-- A running job leaves its seat.
local function leave_seat(ref, s)
    redis.call('HDEL', key('held:' .. s.worker), ref)
    if bit.band(s.marks, HOLDS) > 0 then let_go(ref) end
    s.marks = bit.band(s.marks, bit.bnot(HOLDS))
end

local ends = {} -- refs of members that have ended, for gates.lua to count

-- A job that had ended waits again: gives its body, of whose end nobody has heard.
local function unended(ref, body, s)
    redis.call('ZREM', key('done:' .. s.state), ref)
    if bit.band(struct.unpack('<B', body), ANSWER) == 0 then return body end
    redis.call('ZREM', key('unanswered'), ref)
    local _, _, flags = struct.unpack(HEAD, body)
    return with_head(body, {flags = bit.band(flags, bit.bnot(ANSWERED_FLAG))})
end

-- The job has ended as s says; it waits nowhere and sits nowhere.
local function ended(ref, body, s)
    if is_member(body) then ends[#ends + 1] = ref end
    write_state(ref, s)
    redis.call('ZADD', key('done:' .. s.state), s.finished, ref)
    local marks = struct.unpack('<B', body)
    if bit.band(marks, KEYED) > 0 then free_key(ref, body) end
    if bit.band(marks, ANSWER) > 0 then redis.call('ZADD', key('unanswered'), s.finished, ref) end
    wake('results')
end

local function end_waiting(ref, body, s, message)
    leave_index(ref, body)
    s.state, s.finished, s.error = CANCELLED, now, error_info('JobCancelled', message)
    ended(ref, body, s)
end

-- A job that ran waits again, or has ended at that instant if it was asked to cancel meanwhile.
local function wait_again(ref, body, s, at)
    if s.cancel > 0 then
        s.state, s.finished = CANCELLED, at
        return ended(ref, body, s)
    end
    s.state = WAITING
    write_state(ref, s)
    enter_index(ref, body)
end

-- A running job goes back as if it had never been reserved, or ends if it was asked to.
local function release(ref, body, s)
    leave_seat(ref, s)
    s.attempt, s.started, s.log = s.attempt - 1, 0, false
    wait_again(ref, body, s, now)
end

-- What a worker holds, in a seat of it or in all: refs in the order of age.
local function held_by(worker, slot)
    local found = redis.call('HGETALL', key('held:' .. worker))
    local refs = {}
    for i = 1, #found, 2 do
        if not slot or tonumber(found[i + 1]) == slot then refs[#refs + 1] = found[i] end
    end
    table.sort(refs)
    return refs
end
