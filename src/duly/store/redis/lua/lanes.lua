-- Rate and concurrency limits at the moment of reserving.
--
-- A due job that a limit holds back is parked in that limit's lane: it leaves its level, so that it costs the jobs
-- behind it nothing, and comes back when the lane opens: when its rate allows the next start, when a job that counts in
-- it stops running, when a limit changes, and, in case the jobs it let go never started, every AGAIN. An occurrence that
-- may not overlap another of its schedule has to pass a lane of that schedule; one that is to be skipped then ends
-- cancelled (only one that has never run: the retry of an occurrence waits).

local AGAIN = 10000000
local LANES_AT_ONCE, JOBS_AT_ONCE = 64, 500
local ONE_AT_A_TIME = {concurrency = 1}

local function load_rules()
    local packed = redis.call('GET', key('rules'))
    return packed and cmsgpack.unpack(packed) or {limits = {}, paused = {}, exclusive = false, any = false}
end

-- A task's name without colons: task "a" with key "b:c" and task "a:b" with key "c" have a lane each.
local function quoted(task) return (string.gsub(string.gsub(task, '%%', '%%25'), ':', '%%3A')) end
local function plain(name) return (string.gsub(string.gsub(name, '%%3A', ':'), '%%25', '%%')) end

local function interval(limit) return math.ceil(limit.per / limit.rate) end

-- The lanes a job has to pass: {lane, limit} each.
local function lanes_of(rules, task, queue, limit_key)
    local found, limits = {}, rules.limits
    local limit = limits['task:' .. task]
    if limit then found[#found + 1] = {'task:' .. task, limit} end
    limit = limits['queue:' .. queue]
    if limit then found[#found + 1] = {'queue:' .. queue, limit} end
    limit = limit_key and limits['key:' .. task]
    if limit then found[#found + 1] = {'key:' .. quoted(task) .. ':' .. limit_key, limit} end
    return found
end

-- The limit that makes a lane, nil if it was taken away.
local function limit_of(rules, lane)
    local scope, rest = string.match(lane, '^(%a+):(.*)$')
    if scope == 'schedule' then return rules.exclusive and ONE_AT_A_TIME or nil end
    if scope == 'key' then return rules.limits['key:' .. plain(string.match(rest, '^[^:]*'))] end
    return rules.limits[lane]
end

-- A time that a clock which was ahead has set (or a slower rate) holds back nobody for longer than the time between two
-- starts.
local function next_start(limit, lane)
    local tat = tonumber(redis.call('HGET', key('tats'), lane) or 0)
    if not limit.rate then return 0 end
    local latest = now + interval(limit)
    if tat > latest then
        redis.call('HSET', key('tats'), lane, latest)
        return latest
    end
    return tat
end

local function set_opens(lane, at) redis.call('ZADD', key('opens'), at, lane) end

-- Let parked jobs out of one lane, best first; gives how many came.
local function unpark(lane, room)
    local members = redis.call('ZRANGE', key('lane:' .. lane), 0, room - 1)
    for _, member in ipairs(members) do
        local ref = string.sub(member, -13)
        local body = redis.call('HGET', key('jobs'), ref)
        leave_index(ref, body)
        enter_index(ref, body)
    end
    return #members
end

local function open_lane(rules, lane)
    local limit, room, tat = limit_of(rules, lane), JOBS_AT_ONCE, 0
    if limit then
        tat = next_start(limit, lane)
        if limit.rate then room = tat > now and 0 or 1 end
        if limit.concurrency then
            room = math.max(0, math.min(room, limit.concurrency - redis.call('SCARD', key('holding:' .. lane))))
        end
    end
    local freed = room > 0 and unpark(lane, room) or 0
    if redis.call('EXISTS', key('lane:' .. lane)) == 0 then
        redis.call('ZREM', key('opens'), lane)
    elseif tat > now then
        set_opens(lane, tat)
    else
        set_opens(lane, freed == JOBS_AT_ONCE and now or now + AGAIN)
    end
end

local function open_lanes(rules)
    local lanes = redis.call('ZRANGEBYSCORE', key('opens'), '-inf', now, 'LIMIT', 0, LANES_AT_ONCE)
    for _, lane in ipairs(lanes) do open_lane(rules, lane) end
end

-- Lets the due jobs of one batch through, one after the other, and parks those that a limit holds back. A job under a
-- rate limit comes first in its batch (first: nothing was let through before) or waits for the next, so that it
-- starts when it was let through and not some tasks later.
local Gates = {}
Gates.__index = Gates

function Gates.new(rules, first)
    return setmetatable({rules = rules, first = first, tats = {}, held = {}, aside = 0, skipped = 0}, Gates)
end

function Gates:look_at(lane, limit)
    if limit.rate and not self.tats[lane] then self.tats[lane] = next_start(limit, lane) end
    if limit.concurrency and not self.held[lane] then self.held[lane] = redis.call('SCARD', key('holding:' .. lane)) end
end

function Gates:blocks(lane, limit)
    if limit.rate and self.tats[lane] > now then return true end
    return limit.concurrency and self.held[lane] >= limit.concurrency
end

function Gates:park(ref, body, lane)
    local _, priority, _, due, expires = struct.unpack(HEAD, body)
    leave_index(ref, body)
    redis.call('HSET', key('lane-of'), ref, lane)
    redis.call('ZADD', key('lane:' .. lane), 0, lane_member(priority, due, ref))
    if expires < math.huge then redis.call('ZADD', key('aside-expires'), expires, ref) end
    index(queue_of(body), 'p', {due, ref}, due)
    local tat = self.tats[lane] or 0
    local opens, before = tat > now and tat or now + AGAIN, redis.call('ZSCORE', key('opens'), lane)
    set_opens(lane, before and math.min(tonumber(before), opens) or opens)
    self.aside = self.aside + 1
end

function Gates:pass(ref, lanes)
    local counted = {}
    for _, gate in ipairs(lanes) do
        local lane, limit = gate[1], gate[2]
        if limit.rate then
            self.tats[lane] = math.max(self.tats[lane], now) + interval(limit)
            redis.call('HSET', key('tats'), lane, string.format('%.0f', self.tats[lane]))
            if redis.call('ZSCORE', key('opens'), lane) then set_opens(lane, self.tats[lane]) end
        end
        if limit.concurrency then
            self.held[lane] = self.held[lane] + 1
            redis.call('SADD', key('holding:' .. lane), ref)
            counted[#counted + 1] = lane
        end
    end
    if #counted > 0 then redis.call('HSET', key('holds'), ref, cmsgpack.pack(counted)) end
    self.first = false
    return #counted > 0
end

-- Whether a due job may start now, and whether it then counts in a lane.
function Gates:admit(ref, body, packed)
    local rest = rest_of(body)
    local _, _, flags = struct.unpack(HEAD, body)
    local lanes = lanes_of(self.rules, rest[2], queue_of(body), rest[6])
    if bit.band(flags, OVERLAP_SKIP + OVERLAP_QUEUE) > 0 then
        local occurrence = redis.call('HGET', key('occurrence-of'), rest[1])
        if occurrence then lanes[#lanes + 1] = {'schedule:' .. cmsgpack.unpack(occurrence)[1], ONE_AT_A_TIME} end
    end
    local rated = false
    for _, gate in ipairs(lanes) do
        self:look_at(gate[1], gate[2])
        rated = rated or gate[2].rate
    end
    for _, gate in ipairs(lanes) do
        if self:blocks(gate[1], gate[2]) then
            local s = state_of(packed)
            if gate[2] == ONE_AT_A_TIME and bit.band(flags, OVERLAP_SKIP) > 0 and s.attempt == 0 then
                end_waiting(ref, body, s, 'skipped: the occurrence before is still running')
                self.aside = self.aside + 1
            else
                self:park(ref, body, gate[1])
            end
            return false
        end
    end
    if rated and not self.first then return false end
    return true, self:pass(ref, lanes)
end
