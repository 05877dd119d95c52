-- include: keys records levels jobs filter picking
-- Change what waits. A = {..., due, args (a blob), queue, priority}, each false if it stays (see picking.lua). Answers {now,
-- answers}.

local new_due, new_args, new_queue, new_priority = A[4], blob(A[5]), A[6], A[7]

-- Moved beyond its expiry, a job has as long to start as it had before; one that had no time left has no expiry. An
-- expiry that counts from the release is as relative as the due was.
local function new_expires(flags, due, expires)
    local relative = bit.band(flags, FROM_RELEASE) > 0
    if not new_due or expires > new_due and not relative then return expires end
    return expires > due and new_due + expires - due or math.huge
end

local answers = pick(function(ref, body, s)
    if s.state ~= WAITING then return 'too late' end
    local _, _, flags, due, expires = struct.unpack(HEAD, body)
    leave_index(ref, body)
    body = with_queue_and_args(body, new_queue or nil, new_args or nil)
    body = with_head(body, {due = new_due or due, expires = new_expires(flags, due, expires),
        priority = new_priority or nil, flags = new_due and bit.band(flags, bit.bnot(FROM_RELEASE)) or flags})
    set_body(ref, body)
    enter_index(ref, body)
    return 'moved'
end)
wake('work')
wake_up()
return {now, answers}
