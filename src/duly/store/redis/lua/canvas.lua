-- include: keys records levels jobs refs store deleting gates moving
-- Store jobs that have keys, or are a canvas. A = {gates: id and size of each, jobs, whether this is a repetition}. Answers
-- {now, for each job: 1 stored, 0 its id was there, or the id of the holder of its key}; or {now, false, "key", key,
-- holder} if a job with on_conflict "error" meets one, {now, false, "gate", id} if a job names a gate that is nowhere:
-- then nothing is stored.

local to = moved_to()
if to then return refusal(to) end

local gates, jobs, repeated = A[1], A[2], A[3]

-- First what is to be done, then do it: the whole may turn out to be refused.
local found, ids, holders = known(jobs), {}, {}
local answers, steps = {}, {}

local function holder_of(unique)
    if holders[unique] == nil then
        local ref = redis.call('HGET', key('keys'), unique)
        holders[unique] = ref and {ref = ref, id = rest_of(redis.call('HGET', key('jobs'), ref))[1]} or false
    end
    return holders[unique]
end

for i, job in ipairs(jobs) do
    local holder = job[6] and holder_of(job[6])
    if found[i] or ids[job[1]] then
        answers[i] = repeated and found[i] and is_same(found[i], job) and 1 or 0
    elseif holder and job[7] == 'error' then
        return {now, false, 'key', job[6], holder.id}
    elseif holder and job[7] == 'skip' then
        answers[i] = holder.id
    else
        ids[job[1]] = true
        answers[i] = 1
        local one = {job = job, id = job[1], replaces = holder}
        steps[#steps + 1] = one
        if job[6] then holders[job[6]] = one end
    end
end

local new = {}
for i, step in ipairs(steps) do new[i] = step.job end
local unknown = unknown_gate(new, gates)
if unknown then return {now, false, 'gate', unknown} end

local stored = {}
if #steps > 0 then
    local refs = store(new_refs(#new), new)
    for i, step in ipairs(steps) do
        step.ref = refs[i]
        stored[i] = {step.ref, step.job}
    end
    for _, step in ipairs(steps) do
        local holder = step.replaces
        if holder then
            local body, s = read(holder.ref)
            if s.state == WAITING then
                end_waiting(holder.ref, body, s, 'replaced by job ' .. step.id .. ', which has the same key')
            else
                give_up_key(holder.ref, body, s)
            end
        end
        if step.job[6] then redis.call('HSET', key('keys'), step.job[6], step.ref) end
    end
end
attach(stored, gates)
count_ends()
wake_up()
return {now, answers}
