-- The numbers of new jobs.

local BLOCK = 256 -- refs of one member of "ages"

local function ref_of(number) return string.format('%013d', number) end

-- Give numbers to so many jobs: the first of them. The blocks that they are the first in are noted; one in which the last
-- number was given stays noted (deleting.lua).
local function new_refs(n)
    local last = redis.call('HINCRBY', key('meta'), 'job', n)
    local first = last - n + 1
    for block = math.floor((first - 1) / BLOCK) + (first > 1 and 1 or 0), math.floor(last / BLOCK) do
        redis.call('ZADD', key('ages'), block, block)
    end
    return first
end
