-- include: keys rules
-- Begin to move, seal, or end a move. A = {what, place}; what: begin, seal, end. Answers {now, 1}, or {now, 0} where a live
-- job keeps the store from being sealed. Where a move is under way, begin changes nothing.

local what, name = A[1], key('moving')
if what == 'begin' then
    redis.call('SET', name, cmsgpack.pack({A[2], string.format('%.0f', now), false}), 'NX')
elseif what == 'end' then
    redis.call('DEL', name)
else
    local live = redis.call('EXISTS', key('levels'), key('lane-of'), key('transit'))
    for _, worker in ipairs(redis.call('HKEYS', key('workers'))) do
        live = live + redis.call('EXISTS', key('held:' .. worker))
    end
    if live > 0 then return {now, 0} end
    local to, since = unpack(cmsgpack.unpack(redis.call('GET', name)))
    redis.call('SET', name, cmsgpack.pack({to, since, true}))
end
rules_changed()
wake_up()
return {now, 1}
