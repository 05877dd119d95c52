-- include: keys statistics finals levels due take
-- Settle outcomes that are final and bring nothing with them, then reserve: what nearly always happens, with little to
-- load. Parameters and answer as in exchange_all.lua; {now, "all", 1 or 0}, and nothing is done, if that has to do it: there
-- are limits or pauses (1), a job to be settled has marks, or one that is due has expired.

local want, queues, outcomes, rows = unpack(A, 4, 7)

if redis.call('EXISTS', key('rules'), key('opens')) > 0 then return {now, 'all', 1} end

local found, accepted, refused = fenced(outcomes)
for i, packed in ipairs(found) do
    local marks = accepted[i] and string.byte(packed, MARKS_AT) or 0
    if marks > 0 then return {now, 'all', 0} end
end

local refs, names, bodies, states = {}, {}, {}, {}
if want > 0 and redis.call('ZSCORE', key('alive'), worker) then
    refs, names = due_jobs(queues, levels_in(queues, {}), want)
    bodies, states = each('HMGET', key('jobs'), refs), each('HMGET', key('state'), refs)
    for _, body in ipairs(bodies) do
        local _, _, _, _, expires = struct.unpack(HEAD, body)
        if expires <= now then return {now, 'all', 0} end
    end
end

even_if_full()
if #outcomes > 0 then
    write_finals(outcomes, found, accepted)
    add_up(outcomes, rows, accepted)
end
take(refs, names, bodies, states, {})
wake_up()
return {now, refused, leases, 0, 0}
