-- include: keys records levels jobs refs store deleting gates filter picking
-- End what waits, and ask to stop what runs. A = {..., 1 or 2 (to be killed)} (see picking.lua). Answers {now, answers}.

even_if_full()
local answers = pick(function(ref, body, s)
    if s.state == WAITING then
        end_waiting(ref, body, s, 'cancelled')
        return 'prevented'
    elseif s.state == RUNNING then
        s.cancel = math.max(s.cancel, A[4])
        write_state(ref, s)
        wake('control')
        return 'signalled'
    end
    return 'too late'
end)
count_ends()
wake_up()
return {now, answers}
