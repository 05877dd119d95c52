-- Outcomes of all kinds, as in finals.lua.

-- The job goes on as another, unless it was asked to cancel meanwhile.
local function replace(ref, body, s, o)
    record(ref, s.attempt, REPLACED, s.worker, s.slot, o[4], o[5], false, blob(o[10]))
    leave_seat(ref, s)
    s.started, s.error, s.progress, s.log, s.retries, s.lost = 0, false, false, false, 0, 0
    if s.cancel > 0 then
        s.state, s.finished = CANCELLED, o[5]
        return ended(ref, body, s)
    end
    store_then(o[15], {id = rest_of(body)[1], ref = ref, body = body, state = s})
end

-- A retry or a postponed attempt: the job waits again, unless it was asked to cancel meanwhile.
local function give_back(ref, s, o)
    local body = redis.call('HGET', key('jobs'), ref)
    if o[3] == RELEASED then return release(ref, body, s) end
    if o[3] == REPLACED then return replace(ref, body, s, o) end
    record(ref, s.attempt, o[3], s.worker, s.slot, o[4], o[5], blob(o[8]), blob(o[10]))
    leave_seat(ref, s)
    body = with_head(body, {due = o[6]})
    if o[16] then body = with_queue_and_args(body, nil, blob(o[16])) end
    set_body(ref, body)
    s.error, s.progress, s.log, s.started = blob(o[8]) or false, blob(o[9]) or s.progress, false, 0
    if o[3] == RETRY then s.retries = s.retries + 1 end
    wait_again(ref, body, s, o[5])
end

-- What settling has to look after in jobs that have marks.
local function look_after(ref, marks, finished)
    if bit.band(marks, HOLDS) > 0 then let_go(ref) end
    if bit.band(marks, KEYED) > 0 then free_key(ref, redis.call('HGET', key('jobs'), ref)) end
    if bit.band(marks, MEMBER) > 0 then ends[#ends + 1] = ref end
    if bit.band(marks, ANSWER) > 0 then redis.call('ZADD', key('unanswered'), finished, ref) end
end

local function settle(outcomes, rows)
    local found, accepted, refused = fenced(outcomes)
    for i, o in ipairs(outcomes) do
        if accepted[i] and o[3] > UNCERTAIN then give_back(o[1], state_of(found[i]), o) end
    end
    write_finals(outcomes, found, accepted, look_after)
    for i, o in ipairs(outcomes) do
        if accepted[i] and o[15] and o[3] <= UNCERTAIN then store_then(o[15]) end
    end
    add_up(outcomes, rows, accepted)
    return refused
end
