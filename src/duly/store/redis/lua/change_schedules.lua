-- include: keys records levels jobs refs store deleting gates rules recurring
-- Store, change and remove schedules. A = {seen, steps}; seen: name and record (a blob), or false, of all that it was decided by.
-- Steps: {"put", name, owner or false, paused, next or false, last or false, overlap, JSON, why its occurrences ahead are
-- withdrawn or false, whether next goes back to the first of these}; {"delete", name, why}; {"rules"} if an overlap
-- policy has changed. Answers {now, 1}, or {now, 0} if something is no longer as seen: then nothing was changed.

for _, one in ipairs(A[1]) do
    if redis.call('HGET', key('schedules'), one[1]) ~= blob(one[2]) then return {now, 0} end
end

local steps = {}

function steps.put(_, name, owner, paused, next_, last, overlap, info, why, back)
    local first = why and withdraw(name, now, why)
    if back and first and (not next_ or first < next_) then next_ = first end
    write_schedule(name, owner, paused, next_, last, overlap, info)
end

function steps.delete(_, name, why)
    withdraw(name, -1, why)
    redis.call('HDEL', key('schedules'), name)
    redis.call('ZREM', key('ticks'), name)
end

function steps.rules() rules_changed() end

for _, step in ipairs(A[2]) do steps[step[1]](unpack(step, 1, 10)) end
count_ends()
wake_up()
return {now, 1}
