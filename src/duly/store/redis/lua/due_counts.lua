-- include: keys
-- How many jobs are due in each span. A = {edges, cap}. Answers {now, queue and numbers of each level}.

local edges, cap, found = A[1], A[2], {}
for _, member in ipairs(redis.call('SMEMBERS', key('levels'))) do
    local priority, queue = string.sub(member, 1, 1), string.sub(member, 2)
    if tonumber(priority) then
        local name, counts = key('due:' .. priority .. ':' .. queue), {}
        for i = 1, #edges - 1 do
            local from, to = string.format('%.0f', edges[i]), '(' .. string.format('%.0f', edges[i + 1])
            counts[i] = math.min(cap, redis.call('ZCOUNT', name, from, to))
        end
        found[#found + 1], found[#found + 2] = queue, counts
    end
end
return {now, found}
