-- Outcomes of attempts. Each: ref, token, kind, started, finished, due, result, error, progress, log (blobs), for the statistics
-- number of a row, lateness, number of a row, runtime, and what comes with it: jobs (as in store.lua) and gates. Rows: minute, queue, task, outcome, measure, bucket;
-- number 0: none.

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
    set_body(ref, body)
    s.error, s.progress, s.started = blob(o[8]) or false, blob(o[9]) or s.progress, 0
    if o[3] == RETRY then s.retries = s.retries + 1 end
    if s.cancel > 0 then
        s.state, s.finished = CANCELLED, o[5]
        return ended(ref, body, s)
    end
    s.state = WAITING
    write_state(ref, s)
    enter_index(ref, body)
end

-- What all outcomes that are final change, gathered, so that each key is written once.
local Finals = {}
Finals.__index = Finals

function Finals.new() return setmetatable({states = {}, done = {}, held = {}, keyed = {}}, Finals) end

function Finals:add(ref, packed, o)
    local _, attempt, retries, lost, _, marks, worker, slot, token, _, _, _, _, before = struct.unpack(STATE, packed)
    local result, error, progress, log = blob(o[7]), blob(o[8]), blob(o[9]), blob(o[10])
    if not progress and before > 0 then progress = state_of(packed).progress end
    if bit.band(marks, HOLDS) > 0 then let_go(ref) end
    local states, done, held = self.states, self.done[o[3]] or {}, self.held[worker] or {}
    self.done[o[3]], self.held[worker] = done, held
    states[#states + 1] = ref
    states[#states + 1] = struct.pack(STATE, o[3], attempt, retries, lost, 0, bit.band(marks, KEYED + MEMBER), worker, slot,
        token, o[4], o[5], optional(result), optional(error), optional(progress), optional(log)) ..
        (result or '') .. (error or '') .. (progress or '') .. (log or '')
    done[#done + 1], done[#done + 2] = o[5], ref
    held[#held + 1] = ref
    if bit.band(marks, KEYED) > 0 then self.keyed[#self.keyed + 1] = ref end
    if bit.band(marks, MEMBER) > 0 then ends[#ends + 1] = ref end
end

function Finals:write()
    for worker, refs in pairs(self.held) do each('HDEL', key('held:' .. worker), refs) end
    each('HSET', key('state'), self.states)
    for state, pairs_ in pairs(self.done) do each('ZADD', key('done:' .. state), pairs_) end
    for _, ref in ipairs(self.keyed) do free_key(ref, redis.call('HGET', key('jobs'), ref)) end
end

local function add_up(rows, sums, number, value)
    if number == 0 then return end
    local sum = sums[number]
    if sum then
        sum[1], sum[2] = sum[1] + 1, sum[2] + value
    else
        sums[number] = {1, value}
    end
end

-- Write what still holds its lease, with the statistics; gives the places of the outcomes that were refused.
local function settle(outcomes, rows)
    local refs, refused, sums, finals, settled = {}, {}, {}, Finals.new(), {}
    for i, o in ipairs(outcomes) do refs[i] = o[1] end
    local found = each('HMGET', key('state'), refs)
    for i, o in ipairs(outcomes) do
        local ref, packed = o[1], found[i]
        local state, _, _, _, _, _, _, _, token = struct.unpack(STATE, packed or packed_state(state_of(nil)))
        if state ~= RUNNING or token ~= o[2] or settled[ref] then
            refused[#refused + 1] = i - 1
        else
            settled[ref] = i
            if o[3] <= UNCERTAIN then finals:add(ref, packed, o) else give_back(ref, state_of(packed), o) end
            add_up(rows, sums, o[11], o[12])
            add_up(rows, sums, o[13], o[14])
        end
    end
    finals:write()
    for i, o in ipairs(outcomes) do
        if o[15] and o[3] <= UNCERTAIN and settled[o[1]] == i then store_then(o[15]) end
    end
    for number, sum in pairs(sums) do
        local row = rows[number]
        roll(row[1], cmsgpack.pack({unpack(row, 2, 6)}), sum[1], sum[2])
    end
    wake('results')
    return refused
end
