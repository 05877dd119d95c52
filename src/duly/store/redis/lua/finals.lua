-- Outcomes of attempts. Each: ref, token, kind, started, finished, due, result, error, progress, log (blobs), for the statistics
-- number of a row, lateness, number of a row, runtime, and what comes with it: jobs (as in store.lua) and gates. Rows: minute, queue, task, outcome, measure, bucket;
-- number 0: none.

-- Which outcomes hold their leases: the states found, which are accepted, and the places of those that are refused.
local function fenced(outcomes)
    local refs, accepted, refused, settled = {}, {}, {}, {}
    for i, o in ipairs(outcomes) do refs[i] = o[1] end
    local found = each('HMGET', key('state'), refs)
    for i, o in ipairs(outcomes) do
        local state, _, _, _, _, _, _, _, token = nil
        if found[i] then state, _, _, _, _, _, _, _, token = struct.unpack(STATE_FIXED, found[i]) end
        accepted[i] = state == RUNNING and token == o[2] and not settled[o[1]]
        if accepted[i] then settled[o[1]] = true else refused[#refused + 1] = i - 1 end
    end
    return found, accepted, refused
end

-- The progress a state has, to be kept where an outcome brings none.
local function progress_in(packed, result, error, progress)
    local from = STATE_BYTES + math.max(result - 1, 0) + math.max(error - 1, 0)
    return string.sub(packed, from + 1, from + progress - 1)
end

-- Write the final ones of those that are accepted; look_after(ref, marks, finished) is called for jobs that have marks.
local function write_finals(outcomes, found, accepted, look_after)
    local states, done, held, marked = {}, {}, {}, {}
    for i, o in ipairs(outcomes) do
        if accepted[i] and o[3] <= UNCERTAIN then
            local ref, packed = o[1], found[i]
            local _, attempt, retries, lost, _, marks, worker, slot, token, _, _, had_result, had_error, had_progress =
                struct.unpack(STATE, packed)
            local result, error, progress, log = blob(o[7]), blob(o[8]), blob(o[9]), blob(o[10])
            if not progress and had_progress > 0 then
                progress = progress_in(packed, had_result, had_error, had_progress)
            end
            local n, ends_so, of_worker = #states, done[o[3]] or {}, held[worker] or {}
            states[n + 1] = ref
            states[n + 2] = struct.pack(STATE, o[3], attempt, retries, lost, 0, bit.band(marks, KEYED + MEMBER + ANSWER), worker,
                slot, token, o[4], o[5], optional(result), optional(error), optional(progress), optional(log)) ..
                (result or '') .. (error or '') .. (progress or '') .. (log or '')
            done[o[3]], held[worker] = ends_so, of_worker
            ends_so[#ends_so + 1], ends_so[#ends_so + 2] = o[5], ref
            of_worker[#of_worker + 1] = ref
            if marks > 0 then marked[#marked + 1] = {ref, marks, o[5]} end
        end
    end
    for worker, refs in pairs(held) do each('HDEL', key('held:' .. worker), refs) end
    each('HSET', key('state'), states)
    for state, pairs_ in pairs(done) do each('ZADD', key('done:' .. state), pairs_) end
    for _, one in ipairs(marked) do look_after(one[1], one[2], one[3]) end
    wake('results')
end

-- Add what is accepted to the statistics.
local function add_up(outcomes, rows, accepted)
    local sums = {}
    local function add(number, value)
        local sum = sums[number]
        if sum then
            sum[1], sum[2] = sum[1] + 1, sum[2] + value
        else
            sums[number] = {1, value}
        end
    end
    for i, o in ipairs(outcomes) do
        if accepted[i] and o[11] > 0 then
            add(o[11], o[12])
            add(o[13], o[14])
        end
    end
    for number, sum in pairs(sums) do
        local row = rows[number]
        roll(row[1], cmsgpack.pack({unpack(row, 2, 6)}), sum[1], sum[2])
    end
end
