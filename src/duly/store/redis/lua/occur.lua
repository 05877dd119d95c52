-- include: keys levels refs store moving
-- Take schedules forward. A = {advances}; each: name, revision, next as seen or false, next or false, last or false,
-- occurrences: nominal and job (as in store.lua) of each. Answers {now, for each how many jobs were stored, or -1 if the
-- schedule is no longer as it was seen}.

local to = moved_to()
if to then return refusal(to) end

local answers = {}

local function occur(name, occurrences)
    local fresh, zset = {}, key('occurrences:' .. name)
    for _, one in ipairs(occurrences) do
        local nominal, job = one[1], one[2]
        if redis.call('ZCOUNT', zset, nominal, nominal) == 0 then
            redis.call('ZADD', zset, nominal, string.format('%.0f ', now) .. job[1])
            redis.call('HSET', key('occurrence-of'), job[1], cmsgpack.pack({name, nominal}))
            fresh[#fresh + 1] = job
        end
    end
    return (store_all(fresh))
end

for i, advance in ipairs(A[1]) do
    local name, revision, seen, next_, last, occurrences = unpack(advance, 1, 6)
    local packed = redis.call('HGET', key('schedules'), name)
    local record = packed and cmsgpack.unpack(packed)
    if not record or record[2] ~= revision or record[4] ~= seen then
        answers[i] = -1
    else
        record[4] = next_
        if last and (not record[5] or last > record[5]) then record[5] = last end
        redis.call('HSET', key('schedules'), name, cmsgpack.pack(record))
        if next_ and not record[3] then
            redis.call('ZADD', key('ticks'), next_, name)
        else
            redis.call('ZREM', key('ticks'), name)
        end
        answers[i] = occur(name, occurrences)
    end
end
wake_up()
return {now, answers}
