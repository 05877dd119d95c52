-- include: keys records levels jobs refs store deleting gates filter picking moving
-- Put what has ended back to waiting, due now. A as in picking.lua. Answers {now, answers}.

local to = moved_to()
if to then return refusal(to) end

local answers = pick(function(ref, body, s)
    if s.state < SUCCEEDED then return 'too late' end
    local verdict = retry_held(ref, body, s)
    if verdict then return verdict end
    local unique = bit.band(struct.unpack('<B', body), KEYED) > 0 and rest_of(body)[3]
    if unique and redis.call('HEXISTS', key('keys'), unique) == 1 then return 'key taken' end
    if s.started > 0 then
        record(ref, s.attempt, s.state, s.worker, s.slot, s.started, s.finished, s.error, s.log)
    end
    if s.state == SUCCEEDED then -- run again from the start; after a failure, steps that were done stay done
        redis.call('DEL', key('effects:' .. ref))
    end
    body = unended(ref, body, s)
    if unique then redis.call('HSET', key('keys'), unique, ref) end
    s.state, s.retries, s.lost, s.cancel, s.started, s.finished = WAITING, 0, 0, 0, 0, 0
    s.result, s.error, s.progress, s.log = false, false, false, false
    local marks = struct.unpack('<B', body)
    body = with_head(body, {due = now, expires = math.huge, marks = bit.band(marks, bit.bnot(HELD))})
    set_body(ref, body)
    write_state(ref, s)
    enter_index(ref, body)
    if is_member(body) then take_back(ref) end
    return 'retried'
end)
wake('work')
wake_up()
return {now, answers}
