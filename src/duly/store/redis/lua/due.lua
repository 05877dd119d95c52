-- What is due, best first.

-- The queues as given, each once, without the paused ones, and the priorities in use in each: {queue: {9, 0}}.
local function levels_in(queues, paused)
    local names, distinct, seen = {}, {}, {}
    for _, queue in ipairs(queues) do
        if not seen[queue] and not paused[queue] then
            distinct[#distinct + 1] = queue
            for priority = 9, 0, -1 do names[#names + 1] = priority .. queue end
        end
        seen[queue] = true
    end
    local there, found = each('SMISMEMBER', key('levels'), names), {}
    for i, queue in ipairs(distinct) do
        found[queue] = {}
        for priority = 9, 0, -1 do
            if there[i * 10 - priority] == 1 then table.insert(found[queue], priority) end
        end
    end
    return found
end

-- A queue's due jobs in order, fetched priority by priority: each call gives a ref and its level's name, nil at the end.
local function line(queue, priorities, want)
    local next_priority, refs, at, name = 1, {}, 0, nil
    return function()
        at = at + 1
        while at > #refs do
            local priority = priorities[next_priority]
            if not priority then return nil end
            next_priority, at, name = next_priority + 1, 1, level(queue, priority)
            refs = redis.call('ZRANGEBYSCORE', name, '-inf', now, 'LIMIT', 0, want)
        end
        return refs[at], name
    end
end

-- Up to want due jobs: the queues take turns in the order given, a job each.
local function due_jobs(queues, levels, want)
    local refs, names, lines, left = {}, {}, {}, 0
    for queue, priorities in pairs(levels) do
        if #priorities > 0 then
            lines[queue] = line(queue, priorities, want)
            left = left + 1
        end
    end
    while left > 0 do
        for _, queue in ipairs(queues) do
            if lines[queue] then
                local ref, name = lines[queue]()
                if ref then
                    refs[#refs + 1], names[#names + 1] = ref, name
                    if #refs == want then return refs, names end
                else
                    lines[queue] = nil
                    left = left - 1
                end
            end
        end
    end
    return refs, names
end
