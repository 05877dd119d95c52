-- include: keys records levels jobs refs store deleting gates statistics losing
-- A worker says goodbye; what it still holds waits again as if never reserved. A = {worker}. Answers {now}.

local worker = A[1]
even_if_full()
for _, ref in ipairs(held_by(worker)) do given_back(ref) end
if redis.call('ZSCORE', key('alive'), worker) then end_worker(worker, 0) end
wake('work')
count_ends()
wake_up()
return {now}
