-- include: keys records levels jobs refs store deleting gates moving
-- Make a namespace what is wanted. A = {namespace, seen, steps}; seen: for each key known: key and SHA-1 of all that
-- sync_read.lua said of it. Steps: {"create", job (as in store.lua), key, MessagePack (job id, due)}, {"edit", ref, body},
-- {"note", key, MessagePack} (bodies and MessagePack as blobs), {"cancel", ref, why}, {"forget", key}. Answers {now, 1}, or {now, 0} if something is no
-- longer as seen: then nothing was changed.

local to = moved_to()
if to then return refusal(to) end

local name = key('synced:' .. A[1])
if redis.call('HLEN', name) ~= #A[2] then return {now, 0} end
for _, one in ipairs(A[2]) do
    local packed = redis.call('HGET', name, one[1])
    if not packed then return {now, 0} end
    local ref = redis.call('HGET', key('ids'), cmsgpack.unpack(packed)[1])
    local body, state = ref and redis.call('HGET', key('jobs'), ref), ref and redis.call('HGET', key('state'), ref)
    if redis.sha1hex(packed .. (ref or '') .. (body or '') .. (state or '')) ~= one[2] then return {now, 0} end
end

local steps = {}

function steps.create(_, job, unique, packed)
    store_all({job})
    want_no_more(A[1], unique)
    want(A[1], unique, job[1], blob(packed))
end

function steps.edit(_, ref, body)
    leave_index(ref, redis.call('HGET', key('jobs'), ref))
    set_body(ref, blob(body))
    enter_index(ref, blob(body))
end

function steps.note(_, unique, packed) redis.call('HSET', name, unique, blob(packed)) end

function steps.cancel(_, ref, why)
    local body, s = read(ref)
    end_waiting(ref, body, s, why)
end

function steps.forget(_, unique) want_no_more(A[1], unique) end

for _, step in ipairs(A[3]) do steps[step[1]](unpack(step, 1, 4)) end
count_ends()
wake_up()
return {now, 1}
