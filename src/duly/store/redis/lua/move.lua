-- include: keys records levels jobs filter picking
-- Change what waits. A = {..., due, args (a blob), queue, priority}, each false if it stays (see picking.lua). Answers {now,
-- answers}.

local new_due, new_args, new_queue, new_priority = A[4], blob(A[5]), A[6], A[7]

-- Moved beyond its expiry, a job has as long to start as it had before; one that had no time left has no expiry.
local function new_expires(due, expires)
    if not new_due or expires > new_due then return expires end
    return expires > due and new_due + expires - due or math.huge
end

local answers = pick(function(ref, body, s)
    if s.state ~= WAITING then return 'too late' end
    local _, _, flags, due, expires = struct.unpack(HEAD, body)
    leave_index(ref, body)
    body = with_queue_and_args(body, new_queue or nil, new_args or nil)
    if new_due then flags = bit.band(flags, bit.bnot(FROM_RELEASE)) end
    body = with_head(body, {due = new_due or due, expires = new_expires(due, expires), priority = new_priority or nil,
        flags = flags})
    set_body(ref, body)
    enter_index(ref, body)
    return 'moved'
end)
wake('work')
wake_up()
return {now, answers}
