-- include: keys records levels jobs refs store deleting gates statistics losing
-- Take back the jobs of dead workers. A = {max_lost, ids of the dead, 1 if also those whose lease has lapsed}. Answers
-- {now, for each job: id, task, queue, state, lost, 1 if there are more}: AT_ONCE workers' jobs in a call.

local max_lost, WORKERS_AT_ONCE, JOBS_ENOUGH = A[1], 100, 1000
local named, doomed = {}, {}
for _, worker in ipairs(A[2]) do
    if redis.call('ZSCORE', key('alive'), worker) then
        named[worker] = true
        doomed[#doomed + 1] = worker
    end
end
if A[3] == 1 then
    for _, worker in ipairs(redis.call('ZRANGEBYSCORE', key('alive'), '-inf', now, 'LIMIT', 0, WORKERS_AT_ONCE)) do
        worker = tonumber(worker)
        if not named[worker] then doomed[#doomed + 1] = worker end
    end
end
local rescued = {}
even_if_full()
for i, worker in ipairs(doomed) do
    local info = cjson.decode(redis.call('HGET', key('workers'), worker))
    local how = named[worker] and 'is dead' or 'stopped answering'
    local reason = error_info('WorkerLost', string.format('worker %s@%s (pid %d) %s; it held this job', info.name,
        info.host, info.pid, how))
    for _, ref in ipairs(held_by(worker)) do rescued[#rescued + 1] = lose(ref, worker, reason, max_lost) end
    end_worker(worker, tonumber(redis.call('ZSCORE', key('alive'), worker)))
    if #rescued >= JOBS_ENOUGH and i < #doomed then break end
end
were_taken(rescued)
return {now, rescued, redis.call('ZCOUNT', key('alive'), '-inf', now)}
