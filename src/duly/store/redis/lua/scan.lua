-- include: keys records filter
-- A stretch of the jobs that match a filter, in some order. A = {kind, filter, value, ref, limit, states, queues}: what
-- comes after (value, ref), or from the beginning if value is false.
--   "age"    newest first, by ref
--   "done"   those that ended in one of the states (numbers), the last first
--   "due"    those that wait, the earliest first, in these queues (nil: all)
-- Answers {now, value, ref and due of each match, value and ref of the last that was looked at, 1 at the end}. A call looks
-- at some hundred jobs and may find none of them to match.

local kind, filter, from_value, from_ref, limit, states, queues = unpack(A, 1, 7)
local BLOCKS_AT_ONCE = 16

-- How many members of a sorted set come before (score, ref), or are equal to it if so asked.
local function rank(name, score, ref, equal)
    local text = string.format('%.0f', score)
    local low = redis.call('ZCOUNT', name, '-inf', '(' .. text)
    local high = low + redis.call('ZCOUNT', name, text, text)
    while low < high do
        local middle = math.floor((low + high) / 2)
        local member = redis.call('ZRANGE', name, middle, middle)[1]
        if member < ref or equal and member == ref then low = middle + 1 else high = middle end
    end
    return low
end

local function add(found, refs_and_scores, first, last, step)
    for i = first, last, step do
        found[#found + 1] = {ref = refs_and_scores[i], value = tonumber(refs_and_scores[i + 1])}
    end
end

local function by_due()
    local found, wanted = {}, nil
    if queues then
        wanted = {}
        for _, queue in ipairs(queues) do wanted[queue] = true end
    end
    for _, level in ipairs(redis.call('SMEMBERS', key('levels'))) do
        local priority, queue = string.sub(level, 1, 1), string.sub(level, 2)
        if not wanted or wanted[queue] then
            local name = key('due:' .. priority .. ':' .. queue)
            local start = from_value and rank(name, from_value, from_ref, true) or 0
            local some = redis.call('ZRANGE', name, start, start + limit - 1, 'WITHSCORES')
            add(found, some, 1, #some, 2)
        end
    end
    table.sort(found, function(a, b) return a.value < b.value or a.value == b.value and a.ref < b.ref end)
    return found
end

local function by_end()
    local found = {}
    for _, state in ipairs(states) do
        local name = key('done:' .. state)
        local stop = (from_value and rank(name, from_value, from_ref, false) or redis.call('ZCARD', name)) - 1
        if stop >= 0 then
            local some = redis.call('ZRANGE', name, math.max(0, stop - limit + 1), stop, 'WITHSCORES')
            add(found, some, #some - 1, 1, -2)
        end
    end
    table.sort(found, function(a, b) return a.value > b.value or a.value == b.value and a.ref > b.ref end)
    return found
end

-- The refs before one, of the next blocks that have jobs; the last is where to go on, whether there is such a job or not.
local function by_age()
    local found, top = {}, from_value and tonumber(from_ref) - 1 or nil
    local most = top and math.floor(top / 256) or '+inf'
    for _, block in ipairs(redis.call('ZREVRANGEBYSCORE', key('ages'), most, '-inf', 'LIMIT', 0, BLOCKS_AT_ONCE)) do
        local first = tonumber(block) * 256
        for number = math.min(first + 255, top or math.huge), first, -1 do
            found[#found + 1] = {ref = string.format('%013.0f', number), value = number}
        end
        if #found >= limit then break end
    end
    return found
end

local orders = {age = by_age, done = by_end, due = by_due}
local found = orders[kind]()
local at_end = #found == 0 or kind ~= 'age' and #found < limit
if kind ~= 'age' then
    for i = #found, limit + 1, -1 do found[i] = nil end
end

local refs, matching = {}, {}
for i, one in ipairs(found) do refs[i] = one.ref end
local bodies, packed = each('HMGET', key('jobs'), refs), {}
if filter.states then packed = each('HMGET', key('state'), refs) end
for i, one in ipairs(found) do
    if bodies[i] and matches(filter, bodies[i], packed[i]) then
        local _, _, _, due = struct.unpack(HEAD, bodies[i])
        local n = #matching
        matching[n + 1], matching[n + 2], matching[n + 3] = one.value, one.ref, due
    end
end
local last = found[#found]
return {now, matching, last and last.value or 0, last and last.ref or '', at_end and 1 or 0}
