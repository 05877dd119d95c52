-- Gates: counting the ends of members, and what becomes of the jobs held there (see contract.py).
--
-- Whatever ends a job adds it to "ends", if it is a member; each script that may end one calls count_ends before it
-- wakes anybody. A gate whose count closes releases, fails or deletes what is held at it. Those that fail may be members
-- themselves, so this goes on until nothing more ends: a list of work and no recursion, however long the chain.

local SUCCEEDED_, OTHERWISE = 1, 2 -- how a member's end was counted; 0: it has not ended, or is retried
local NO_ERROR = 'a job that it waited for was cancelled'

local function gate_of(id)
    local packed = redis.call('HGET', key('gates'), id)
    if not packed then return nil end
    local gate = {id = id}
    gate.size, gate.left, gate.failed, gate.first, gate.finished = unpack(cmsgpack.unpack(packed))
    return gate
end

local function write_gate(gate)
    local record = {gate.size, gate.left, gate.failed, gate.first, gate.finished}
    redis.call('HSET', key('gates'), gate.id, cmsgpack.pack(record))
end

-- The gates of a body's job that it counts in: {gate, index} each.
local function memberships(body) return rest_of(body)[8] or {} end

local function refs_after(gate)
    local refs = redis.call('SMEMBERS', key('after:' .. gate))
    table.sort(refs)
    return refs
end

-- What waits at a gate, with its body and whether it waits for a failure.
local function held_at(gate)
    local found = {}
    for _, ref in ipairs(refs_after(gate)) do
        local body, s = read(ref)
        if s.state == WAITING and is_held(body) then
            local _, _, flags = struct.unpack(HEAD, body)
            found[#found + 1] = {ref = ref, body = body, state = s, on_failure = bit.band(flags, ON_FAILURE) > 0}
        end
    end
    return found
end

local function let_through(one)
    local marks, _, flags, due, expires, created = struct.unpack(HEAD, one.body)
    leave_index(one.ref, one.body)
    local shift = bit.band(flags, FROM_RELEASE) > 0 and now - created or 0
    local body = with_head(one.body, {marks = bit.band(marks, bit.bnot(HELD)), due = math.max(now, due + shift),
        expires = expires + shift, flags = bit.band(flags, bit.bnot(FROM_RELEASE))})
    set_body(one.ref, body)
    enter_index(one.ref, body)
end

local function fail_held(one, error)
    leave_index(one.ref, one.body)
    one.state.state, one.state.finished, one.state.error = FAILED, now, error
    ended(one.ref, one.body, one.state)
end

-- Delete held jobs that nobody wants any more, and what was to come after them.
local function drop(list)
    local at = 1
    while at <= #list do
        local one = list[at]
        at = at + 1
        for _, membership in ipairs(memberships(one.body)) do
            for _, follower in ipairs(held_at(membership[1])) do list[#list + 1] = follower end
        end
        leave_index(one.ref, one.body)
        if bit.band(struct.unpack('<B', one.body), KEYED) > 0 then free_key(one.ref, one.body) end
        delete({one.ref}, {one.body}, {redis.call('HGET', key('state'), one.ref)})
    end
end

-- Let go, fail or delete what is held at a gate that has closed its count.
local function close(gate)
    local unwanted, error = {}, error_info('JobError', NO_ERROR)
    if gate.failed > 0 then
        local first = redis.call('HGET', key('ids'), gate.first)
        local s = state_of(first and redis.call('HGET', key('state'), first))
        error = s.error or error
    end
    for _, one in ipairs(held_at(gate.id)) do
        if one.on_failure == (gate.failed > 0) then
            let_through(one)
        elseif one.on_failure then
            unwanted[#unwanted + 1] = one
        else
            fail_held(one, error)
        end
    end
    drop(unwanted)
end

-- Count the ends of these members: the gates whose count that closes. A gate is read once and written once, however many of
-- its members have ended.
local function count(refs)
    local bodies, states = each('HMGET', key('jobs'), refs), each('HMGET', key('state'), refs)
    local gates, changed, closed = {}, {}, {}

    local function count_in(ref, body, how, id, index)
        if gates[id] == nil then gates[id] = gate_of(id) or false end
        local gate, name = gates[id], key('members:' .. id)
        local packed = gate and gate.left > 0 and redis.call('HGET', name, index)
        if not packed or cmsgpack.unpack(packed)[2] ~= 0 then return end
        redis.call('HSET', name, index, cmsgpack.pack({ref, how}))
        gate.left = gate.left - 1
        if how == OTHERWISE then gate.failed, gate.first = gate.failed + 1, gate.first or rest_of(body)[1] end
        if gate.left == 0 then
            gate.finished = now
            closed[#closed + 1] = gate
        end
        if not changed[id] then changed[#changed + 1], changed[id] = gate, true end
    end

    for i, ref in ipairs(refs) do
        local state = bodies[i] and states[i] and struct.unpack('<B', states[i]) or WAITING
        if state >= SUCCEEDED then
            local how = state == SUCCEEDED and SUCCEEDED_ or OTHERWISE
            for _, membership in ipairs(memberships(bodies[i])) do
                count_in(ref, bodies[i], how, membership[1], membership[2])
            end
        end
    end
    for _, gate in ipairs(changed) do write_gate(gate) end
    return closed
end

local function count_ends()
    while #ends > 0 do
        local some = ends
        ends = {}
        for _, gate in ipairs(count(some)) do close(gate) end
    end
end

-- The first gate that is named by a job (as in store.lua) but is nowhere, nor among these new ones.
local function unknown_gate(jobs, gates)
    local there = {}
    for _, gate in ipairs(gates) do there[gate[1]] = true end
    for _, job in ipairs(jobs) do
        local named = {job[8]}
        for _, membership in ipairs(job[9] or {}) do named[#named + 1] = membership[1] end
        for _, id in ipairs(named) do
            if not there[id] and redis.call('HEXISTS', key('gates'), id) == 0 then return id end
        end
    end
end

-- Make gates, and jobs that were stored their members: pairs of ref and job.
local function attach(stored, gates)
    for _, gate in ipairs(gates) do
        if redis.call('HEXISTS', key('gates'), gate[1]) == 0 then
            write_gate({id = gate[1], size = gate[2], left = gate[2], failed = 0, first = false,
                finished = gate[2] == 0 and now or false})
        end
    end
    local held, seen, joined = {}, {}, {}
    for _, one in ipairs(stored) do
        local ref, job = one[1], one[2]
        for _, membership in ipairs(job[9] or {}) do
            local those = joined[membership[1]] or {}
            joined[membership[1]] = those
            those[#those + 1], those[#those + 2] = membership[2], cmsgpack.pack({ref, 0})
        end
        if job[8] then
            redis.call('SADD', key('after:' .. job[8]), ref)
            enter_index(ref, redis.call('HGET', key('jobs'), ref))
            if not seen[job[8]] then held[#held + 1] = job[8] end
            seen[job[8]] = true
        end
    end
    for id, those in pairs(joined) do each('HSET', key('members:' .. id), those) end
    for _, id in ipairs(held) do
        local gate = gate_of(id) -- gone, if the close of another deleted all that was held there
        if gate and gate.left == 0 then close(gate) end
    end
end

-- The running job goes on as another: the row of it (as in store.lua) says as what. Its id and its key stay, and what it
-- is a member of; what the other is a member of is added.
local function become(ref, body, s, job)
    local successor, old, new = blob(job[2]), rest_of(body), rest_of(blob(job[2]))
    local marks, _, flags = struct.unpack(HEAD, body)
    local new_marks, _, new_flags, _, _, _, queue, args = struct.unpack(HEAD, successor)
    local gates = old[8] or {}
    for _, membership in ipairs(new[8] or {}) do gates[#gates + 1] = membership end
    if old[7] then redis.call('SREM', key('after:' .. old[7]), ref) end
    local text = '\152' .. cmsgpack.pack(old[1], new[2], old[3], new[4], new[5], new[6], new[7],
        #gates > 0 and gates or nil) -- a list of 8
    successor = with_head(string.sub(successor, 1, HEAD_BYTES + queue + args) .. text, {
        marks = bit.bor(bit.band(marks, KEYED + MEMBER), bit.band(new_marks, MEMBER + HELD + ANSWER)),
        flags = bit.bor(bit.band(flags, COUNTS), new_flags),
    })
    redis.call('DEL', key('effects:' .. ref))
    set_body(ref, successor)
    s.state = WAITING
    write_state(ref, s)
    if not is_held(successor) then enter_index(ref, successor) end -- else attach does
end

-- The id of the first member whose counted end was no success, by index; false if there is none.
local function next_failed(name)
    local found, least, id = redis.call('HGETALL', name), math.huge, false
    for i = 1, #found, 2 do
        local ref, how = unpack(cmsgpack.unpack(found[i + 1]))
        if how == OTHERWISE and tonumber(found[i]) < least then
            least, id = tonumber(found[i]), rest_of(redis.call('HGET', key('jobs'), ref))[1]
        end
    end
    return id
end

local function hold(ref, body, s)
    body = unended(ref, body, s)
    set_body(ref, body)
    s.state, s.finished, s.error, s.cancel = WAITING, 0, false, 0
    write_state(ref, s)
    enter_index(ref, body)
end

-- Those that failed because a gate did are held again (they were never let through); the members among them are added.
local function hold_again(gate, refs)
    for _, ref in ipairs(refs_after(gate.id)) do
        local body, s = read(ref)
        if s.state == FAILED and is_held(body) then
            hold(ref, body, s)
            if is_member(body) then refs[#refs + 1] = ref end
        end
    end
end

-- The job, a member, is to run again: its end, and what came of it, counts no longer.
local function take_back(ref)
    local refs = {ref}
    while #refs > 0 do
        local one = table.remove(refs)
        local body = redis.call('HGET', key('jobs'), one)
        for _, membership in ipairs(memberships(body)) do
            local gate, name = gate_of(membership[1]), key('members:' .. membership[1])
            local packed = gate and redis.call('HGET', name, membership[2])
            local how = packed and cmsgpack.unpack(packed)[2] or 0
            if how > 0 and (gate.left > 0 or gate.failed > 0) then
                redis.call('HSET', name, membership[2], cmsgpack.pack({one, 0}))
                if gate.left == 0 then hold_again(gate, refs) end
                gate.left, gate.finished = gate.left + 1, false
                if how == OTHERWISE then gate.failed = gate.failed - 1 end
                if gate.first == rest_of(body)[1] then gate.first = next_failed(name) end
                write_gate(gate)
            end
        end
    end
end

-- What a retry of a job comes to that ended before its gate had let it through; nil: it runs as any other.
local function retry_held(ref, body, s)
    local gate = is_held(body) and gate_of(rest_of(body)[7])
    if not gate then return nil end
    if gate.left > 0 then
        hold(ref, body, s)
        take_back(ref)
        return 'retried'
    end
    local _, _, flags = struct.unpack(HEAD, body)
    local against = (gate.failed > 0) ~= (bit.band(flags, ON_FAILURE) > 0)
    return against and 'too late' or nil
end

-- What comes with an accepted outcome: jobs and gates; of these jobs replaced, if given, is what a running one becomes.
local function store_then(then_, replaced)
    local jobs = {}
    for _, job in ipairs(then_[1]) do
        if replaced and job[1] == replaced.id then
            replaced.job = job
        else
            jobs[#jobs + 1] = job
        end
    end
    local _, stored = store_all(jobs)
    attach(stored, then_[2])
    if replaced then
        become(replaced.ref, replaced.body, replaced.state, replaced.job)
        attach({{replaced.ref, replaced.job}}, {})
    end
end
