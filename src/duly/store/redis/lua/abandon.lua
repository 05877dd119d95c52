-- include: keys records levels jobs refs store deleting gates statistics losing
-- An executor died. A = {worker, slot, ids of jobs that had started, the reason (a blob), max_lost}. Answers {now, for
-- each of its jobs: id, task, queue, state, lost}.

local worker, slot, reason, max_lost = A[1], A[2], blob(A[4]), A[5]
local started, rescued = {}, {}
even_if_full()
redis.call('HDEL', key('offers:' .. worker), slot) -- the server may not know yet that it listens no more
for _, id in ipairs(A[3]) do started[id] = true end
for _, ref in ipairs(held_by(worker, slot)) do
    local id = rest_of(redis.call('HGET', key('jobs'), ref))[1]
    rescued[#rescued + 1] = started[id] and lose(ref, worker, reason, max_lost) or given_back(ref)
end
were_taken(rescued)
return {now, rescued}
