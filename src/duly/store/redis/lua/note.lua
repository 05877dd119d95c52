-- include: keys records
-- What a running job notes. A = {"progress", ref, token, JSON (a blob)}, {"log", ref, token, text (a blob)}
-- or {"effect", ref, token, key, value (a blob)}. Answers {now, 1},
-- or {now, 0} and nothing is noted if another attempt has been made since. The first value of an effect stays.

local what, ref, token = A[1], A[2], A[3]
local s = state_of(redis.call('HGET', key('state'), ref))
if s.state ~= RUNNING or s.token ~= token then return {now, 0} end
even_if_full()
if what == 'effect' then
    redis.call('HSETNX', key('effects:' .. ref), A[4], blob(A[5]))
else
    s[what] = blob(A[4])
    write_state(ref, s)
end
return {now, 1}
