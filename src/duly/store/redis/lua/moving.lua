-- Moving to another store, and from one (see store/moving.py). In transit: in the set "transit", and in no index.

-- Where this store was moved for good, nil if it takes jobs.
local function moved_to()
    local packed = redis.call('GET', key('moving'))
    if not packed then return nil end
    local to, _, sealed = unpack(cmsgpack.unpack(packed))
    return sealed and to or nil
end

local function refusal(to) return redis.error_reply('DULYMOVED ' .. to) end

-- Which job stands for which key of a namespace is remembered both ways.
local function want(namespace, unique, id, packed)
    redis.call('HSET', key('synced:' .. namespace), unique, packed)
    redis.call('HSET', key('wanted-of'), id, cmsgpack.pack({namespace, unique}))
end

local function want_no_more(namespace, unique)
    local packed = redis.call('HGET', key('synced:' .. namespace), unique)
    if not packed then return end
    redis.call('HDEL', key('synced:' .. namespace), unique)
    redis.call('HDEL', key('wanted-of'), cmsgpack.unpack(packed)[1])
end
