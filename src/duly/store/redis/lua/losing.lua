-- Jobs that are taken from a worker.

-- What becomes of a job whose attempt ended with its worker: {id, task, queue, state, lost}.
local function lose(ref, worker, reason, max_lost)
    local body, s = read(ref)
    local _, _, flags = struct.unpack(HEAD, body)
    local rest, queue, kind = rest_of(body), queue_of(body), LOST
    s.lost = s.lost + 1
    if s.cancel > 0 then
        kind = CANCELLED
    elseif bit.band(flags, AT_MOST_ONCE) > 0 then
        kind = UNCERTAIN
    elseif s.lost >= max_lost then
        kind = FAILED
    end
    leave_seat(ref, s)
    s.error = reason
    local names = {[LOST] = 'lost', [CANCELLED] = 'cancelled', [UNCERTAIN] = 'uncertain', [FAILED] = 'failed'}
    roll(math.floor(now / 60000000), cmsgpack.pack({queue, rest[2], names[kind], 'count', 0}), 1, 0)
    if kind == LOST then
        record(ref, s.attempt, LOST, worker, s.slot, s.started, now, reason, s.log)
        s.state, s.started, s.log = WAITING, 0, false
        write_state(ref, s)
        enter_index(ref, body)
    else
        s.state, s.finished = kind, now
        ended(ref, body, s)
    end
    return {rest[1], rest[2], queue, s.state, s.lost}
end

local function given_back(ref)
    local body, s = read(ref)
    local rest = rest_of(body)
    release(ref, body, s)
    return {rest[1], rest[2], queue_of(body), s.state, s.lost}
end

-- Who waits for work, for results or at a gate is told of the jobs that were taken.
local function were_taken(jobs)
    if #jobs > 0 then
        wake('work')
        wake('results')
    end
    count_ends()
    wake_up()
end

-- A worker is no more; lease is when its lease ended, 0 if it left properly.
local function end_worker(worker, lease)
    redis.call('ZREM', key('alive'), worker)
    redis.call('DEL', key('offers:' .. worker))
    redis.call('HSET', key('gone'), worker, cmsgpack.pack({now, lease}))
end
