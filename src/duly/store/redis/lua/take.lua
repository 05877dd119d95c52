-- Reserving. A begins with worker, slot and token.

local worker, slot, token = A[1], A[2], A[3]
local leases = {}
local function take(refs, names, bodies, states, counted)
    local written, held, by_level = {}, {}, {}
    for i, ref in ipairs(refs) do
        local packed, marks = states[i], bit.band(struct.unpack('<B', bodies[i]), KEYED + MEMBER + ANSWER)
        if counted[i] then marks = marks + HOLDS end
        if packed then
            local _, attempt, retries, lost_ = struct.unpack(STATE, packed)
            packed = struct.pack(STATE_FIXED, RUNNING, attempt + 1, retries, lost_, 0, marks, worker, slot, token, now, 0) ..
                string.sub(packed, TAIL_FROM)
        else
            packed = struct.pack(STATE, RUNNING, 1, 0, 0, 0, marks, worker, slot, token, now, 0, 0, 0, 0, 0)
        end
        leases[#leases + 1], leases[#leases + 2], leases[#leases + 3] = ref, bodies[i], packed
        written[#written + 1], written[#written + 2] = ref, packed
        held[#held + 1], held[#held + 2] = ref, slot
        local level_refs = by_level[names[i]] or {}
        by_level[names[i]] = level_refs
        level_refs[#level_refs + 1] = ref
    end
    each('HSET', key('state'), written)
    each('HSET', key('held:' .. worker), held)
    for name, level_refs in pairs(by_level) do
        each('ZREM', name, level_refs)
        if redis.call('EXISTS', name) == 0 then
            local priority, queue = string.match(string.sub(name, #key('due:') + 1), '^(.):(.*)$')
            redis.call('SREM', key('levels'), priority .. queue)
        end
    end
end
