-- include: keys records levels jobs refs store deleting gates lanes
-- End jobs that expired while they were parked or held, for they would keep their keys for as long as that lasts; look
-- again at lanes whose time a clock that was ahead has set. A = {}. Answers {now, 1 if there is more to do}.

even_if_full()
local refs = redis.call('ZRANGEBYSCORE', key('aside-expires'), '-inf', now, 'LIMIT', 0, JOBS_AT_ONCE)
for _, ref in ipairs(refs) do
    local body, s = read(ref)
    end_waiting(ref, body, s, 'expired before it could start')
end
local longest = AGAIN
for _, limit in pairs(load_rules().limits) do
    if limit.rate then longest = math.max(longest, interval(limit)) end
end
local late = redis.call('ZRANGEBYSCORE', key('opens'), '(' .. string.format('%.0f', now + longest), '+inf')
for _, lane in ipairs(late) do set_opens(lane, 0) end
if #refs + #late > 0 then wake('work') end
count_ends()
wake_up()
return {now, #refs == JOBS_AT_ONCE and 1 or 0}
