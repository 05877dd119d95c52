-- include: keys statistics finals records levels jobs refs store deleting gates lanes due take settle
-- Settle outcomes, then reserve, whatever they are and whatever is due (see also exchange.lua). A = {worker, slot, token, want, queues, outcomes, rows of statistics, tokens of
-- an exchange of this seat whose answer was lost and of an offer that it has made, or false}. Answers {now, false, gate} and does nothing if what comes with
-- an outcome names a gate that is nowhere, else {now, places of the refused, leases, more, 1 if there are limits or pauses}, leases
-- being ref, body, state for each. More: nothing was found, but not everything was looked at.

local want, queues, outcomes, rows, lost = unpack(A, 4, 8)
local ASIDE_AT_ONCE, FETCH = 500, 100

for _, o in ipairs(outcomes) do
    local unknown = o[15] and unknown_gate(o[15][1], o[15][2])
    if unknown then return {now, false, unknown} end
end

even_if_full()

-- What a lost answer reserved nobody runs, nor what was given without being heard of.
if lost then
    redis.call('HDEL', key('offers:' .. worker), slot)
    local tokens = {}
    for _, one in ipairs(lost) do tokens[one] = true end
    for _, ref in ipairs(held_by(worker, slot)) do
        local body, s = read(ref)
        if tokens[s.token] then release(ref, body, s) end
    end
end

local refused = {}
if #outcomes > 0 then
    refused = settle(outcomes, rows)
    count_ends()
end

-- Of due jobs those that may start now; how many were put aside.
local function startable(rules, refs, names, left)
    local bodies, states = each('HMGET', key('jobs'), refs), each('HMGET', key('state'), refs)
    local gates = rules.any and Gates.new(rules, #leases == 0)
    local kept, kept_names, kept_bodies, kept_states, counted, expired = {}, {}, {}, {}, {}, 0
    for i, ref in ipairs(refs) do
        if #kept == left then break end
        local _, _, _, _, expires = struct.unpack(HEAD, bodies[i])
        local may, counts = true, false
        if expires <= now then
            end_waiting(ref, bodies[i], state_of(states[i]), 'expired before it could start')
            may, expired = false, expired + 1
        elseif gates then
            may, counts = gates:admit(ref, bodies[i], states[i])
        end
        if may then
            local n = #kept + 1
            kept[n], kept_names[n], kept_bodies[n], kept_states[n], counted[n] = ref, names[i], bodies[i], states[i], counts
        end
    end
    take(kept, kept_names, kept_bodies, kept_states, counted)
    return expired + (gates and gates.aside or 0)
end

local function reserve()
    local rules = {limits = {}, paused = {}, any = false}
    if redis.call('EXISTS', key('rules'), key('opens')) > 0 then
        rules = load_rules()
        if rules.moving then return false end
        open_lanes(rules)
    end
    local aside, fetch = 0, want
    while true do
        local refs, names = due_jobs(queues, levels_in(queues, rules.paused), fetch)
        local put_aside = startable(rules, refs, names, want - #leases / 3)
        aside = aside + put_aside
        if put_aside == 0 or #leases / 3 >= want then return false end
        if aside >= ASIDE_AT_ONCE then return #leases == 0 end
        fetch = math.max(want - #leases / 3, FETCH)
    end
end

local more = false
if want > 0 and redis.call('ZSCORE', key('alive'), worker) then
    more = reserve()
    count_ends()
end
wake_up()
return {now, refused, leases, more and 1 or 0, redis.call('EXISTS', key('rules'), key('opens')) > 0 and 1 or 0}
