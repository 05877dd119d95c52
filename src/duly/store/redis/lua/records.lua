-- Bodies and states, read and written (see keys.lua).

local function queue_of(body)
    local _, _, _, _, _, _, bytes = struct.unpack(HEAD, body)
    return string.sub(body, HEAD_BYTES + 1, HEAD_BYTES + bytes)
end

-- id, task, key, headers, options, limit_key, after, gates
local function rest_of(body)
    local _, _, _, _, _, _, queue, args = struct.unpack(HEAD, body)
    return cmsgpack.unpack(string.sub(body, HEAD_BYTES + queue + args + 1))
end

-- A body with other values in its head.
local function with_head(body, changes)
    local marks, priority, flags, due, expires, created, queue, args = struct.unpack(HEAD, body)
    return struct.pack(HEAD, changes.marks or marks, changes.priority or priority, changes.flags or flags,
        changes.due or due, changes.expires or expires, created, queue, args) .. string.sub(body, HEAD_BYTES + 1)
end

local function with_queue_and_args(body, new_queue, new_args)
    local marks, priority, flags, due, expires, created, queue, args = struct.unpack(HEAD, body)
    new_queue = new_queue or string.sub(body, HEAD_BYTES + 1, HEAD_BYTES + queue)
    new_args = new_args or string.sub(body, HEAD_BYTES + queue + 1, HEAD_BYTES + queue + args)
    return struct.pack(HEAD, marks, priority, flags, due, expires, created, #new_queue, #new_args) ..
        new_queue .. new_args .. string.sub(body, HEAD_BYTES + queue + args + 1)
end

local function is_held(body) return bit.band(struct.unpack('<B', body), HELD) > 0 end
local function is_member(body) return bit.band(struct.unpack('<B', body), MEMBER) > 0 end

-- A state as a table; that of a job that was never reserved if there is none.
local function state_of(packed)
    if not packed then
        return {state = WAITING, attempt = 0, retries = 0, lost = 0, cancel = 0, marks = 0, worker = 0, slot = 0,
            token = NO_TOKEN, started = 0, finished = 0, result = false, error = false, progress = false, log = false}
    end
    local s, result, error, progress, log = {}, 0, 0, 0, 0
    s.state, s.attempt, s.retries, s.lost, s.cancel, s.marks, s.worker, s.slot, s.token, s.started, s.finished,
        result, error, progress, log = struct.unpack(STATE, packed)
    local from = STATE_BYTES
    local function text(bytes)
        if bytes == 0 then return false end
        local found = string.sub(packed, from + 1, from + bytes - 1)
        from = from + bytes - 1
        return found
    end
    s.result, s.error, s.progress, s.log = text(result), text(error), text(progress), text(log)
    return s
end

local function packed_state(s)
    return struct.pack(STATE, s.state, s.attempt, s.retries, s.lost, s.cancel, s.marks, s.worker, s.slot, s.token,
        s.started, s.finished, optional(s.result), optional(s.error), optional(s.progress), optional(s.log)) ..
        (s.result or '') .. (s.error or '') .. (s.progress or '') .. (s.log or '')
end

local function write_state(ref, s) redis.call('HSET', key('state'), ref, packed_state(s)) end

-- Body and state of a job, nil if there is none.
local function read(ref)
    local body = redis.call('HGET', key('jobs'), ref)
    if not body then return nil end
    return body, state_of(redis.call('HGET', key('state'), ref))
end

-- One of duly's own errors, JSON of job.ErrorInfo.
local function error_info(type, message)
    return cjson.encode({type = type, message = message, module = 'duly.errors'})
end

-- A line of history for an attempt that was not the job's last.
local function record(ref, attempt, kind, worker, slot, started, finished, error, log)
    redis.call('RPUSH', key('history:' .. ref), struct.pack(ATTEMPT, kind, attempt, worker, slot, started, finished,
        optional(error), optional(log)) .. (error or '') .. (log or ''))
end
