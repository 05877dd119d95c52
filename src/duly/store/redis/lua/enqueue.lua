-- include: keys records jobs store
-- Store plain jobs: no keys, no gates. A = {jobs, whether this is a repetition}. Answers {now, for each: 1 stored, 0 its id
-- was there}.

local answers = store_all(A[1], A[2])
wake_up()
return {now, answers}
