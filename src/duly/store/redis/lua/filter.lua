-- Which jobs a job.Filter means. As a table: prefix, states {name: true}, queues {name: true}, task (a glob), due_from,
-- due_before, key, after; absent fields match every job.

local FINAL_NAMES = {[RUNNING] = 'running', [SUCCEEDED] = 'succeeded', [FAILED] = 'failed',
    [CANCELLED] = 'cancelled', [UNCERTAIN] = 'uncertain'}

local function state_name(state, attempt, due, held)
    if state ~= WAITING then return FINAL_NAMES[state] end
    if held then return 'held' end
    if attempt > 0 then return 'retrying' end
    return due > now and 'scheduled' or 'queued'
end

-- The character at a place, all its bytes (UTF-8).
local function next_character(text, at)
    at = at + 1
    while at <= #text and bit.band(string.byte(text, at), 192) == 128 do at = at + 1 end
    return at
end

-- Whether a text is as a glob says, in which only * and ? mean something. Its time is the product of their lengths.
local function is_like(text, glob)
    local t, g, star, from = 1, 1, nil, 1
    while t <= #text do
        local wanted = string.sub(glob, g, g)
        if wanted == '*' then
            star, from, g = g, t, g + 1
        elseif wanted == '?' then
            t, g = next_character(text, t), g + 1
        elseif wanted ~= '' and wanted == string.sub(text, t, t) then
            t, g = t + 1, g + 1
        elseif star then
            from = from + 1
            t, g = from, star + 1
        else
            return false
        end
    end
    while string.sub(glob, g, g) == '*' do g = g + 1 end
    return g > #glob
end

local function matches(filter, body, packed)
    local marks, _, _, due = struct.unpack(HEAD, body)
    if filter.due_from and due < filter.due_from then return false end
    if filter.due_before and due >= filter.due_before then return false end
    if filter.states then
        local state, attempt = WAITING, 0
        if packed then state, attempt = struct.unpack('<BI4', packed) end
        if not filter.states[state_name(state, attempt, due, bit.band(marks, HELD) > 0)] then return false end
    end
    if filter.queues and not filter.queues[queue_of(body)] then return false end
    if filter.prefix or filter.task or filter.key or filter.after then
        local rest = rest_of(body)
        if filter.prefix and string.sub(rest[1], 1, #filter.prefix) ~= filter.prefix then return false end
        if filter.task and not is_like(rest[2], filter.task) then return false end
        if filter.key and (bit.band(marks, KEYED) == 0 or rest[3] ~= filter.key) then return false end
        if filter.after and rest[7] ~= filter.after then return false end
    end
    return true
end
