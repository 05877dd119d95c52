-- The Redis store: its keys, its records, and what every script begins with.
--
-- A script is run with KEYS[1], the prefix of all keys of the app ("{duly:NAME}"; the braces make it one hash slot, so
-- that the store works on a cluster), ARGV[1], the instant if a clock was given to the store (else empty: the server's
-- TIME counts), and ARGV[2], its parameters as MessagePack. Bytes among them (blobs) are further arguments, and stand
-- there as their numbers, for cmsgpack knows text only. It answers {now, ...}. A script that refuses does so before its
-- first write, because Redis undoes nothing.
--
-- Jobs. A job is known inside by its ref, a number of 13 digits that grows with age.
--   jobs                 hash ref: body     what was asked for (HEAD below, queue, args, MessagePack of the rest)
--   state                hash ref: state    what happened to it (STATE below); none while it waits for its first run
--   ids                  hash id: ref
--   keys                 hash key: ref      the live job that holds a unique key
--   ages                 zset               the blocks of 256 refs in which there are jobs, to list them by age; that of
--                                           the last ref stays
--   due:PRIORITY:QUEUE   zset ref by due    what waits; one key for each queue and priority in use (a level)
--   due:p:QUEUE          zset ref by due    what is due and held back by a limit (parked)
--   due:h:QUEUE          zset ref by due    what is held at a gate
--   levels               set                PRIORITY .. QUEUE of each of these
--   aside-expires        zset ref by expires of what is parked or held
--   done:STATE           zset ref by finished
--   unanswered           zset ref by finished of those that ended and have ANSWER and not ANSWERED
--   history:REF          list               ended attempts but the last (ATTEMPT below)
--   effects:REF          hash key: value
-- Gates
--   gates                hash id: MessagePack (size, left, failed, id of the first failed, finished)
--   members:GATE         hash index: MessagePack (ref, 1 succeeded, 2 ended otherwise, 0 neither)
--   after:GATE           set ref            jobs that are, or were, held there
-- Workers
--   workers              hash id: JSON of job.WorkerInfo
--   alive                zset id by the end of its lease
--   gone                 hash id: when it ended, and the end of its lease then (0: left properly)
--   held:WORKER          hash ref: slot     what it runs
--   offers:WORKER        hash slot: token and channel of the offer that a seat of it has made (offer.lua)
--   idle:QUEUE           zset WORKER SLOT   the seats that have made an offer for it, by the end of that; there may be no
--                                           such offer any more
--   control, replies     hash id: message (Message below); hash id: JSON
--   control:WORKER       zset id by id      messages that it has not answered
--   control-expires      zset id by expires
-- What may not start although it is due
--   limits               hash DECLARED:SCOPE:NAME: JSON of job.Limit; DECLARED is 1 or 0
--   pauses               hash queue: since
--   rules                MessagePack of what of both is in force; none if nothing is
--   lane:LANE            zset               parked jobs, best first: members (9 - priority), due, ref; no scores
--   lane-of              hash ref: lane
--   tats                 hash lane: from when on its rate allows the next start
--   opens                zset lane by when to look at its parked jobs again
--   holding:LANE         set ref            running jobs that count against its concurrency
--   holds                hash ref: MessagePack of the lanes in which it counts
-- Recurring work and reconciling
--   schedules            hash name: MessagePack (owner, revision, paused, next, last, overlap, JSON of job.Schedule)
--   ticks                zset name by next  schedules that are not paused and have a next
--   occurrences:NAME     zset by nominal    members: made, a space, job id
--   occurrence-of        hash job id: MessagePack (schedule, nominal)
--   synced:NAMESPACE     hash key: MessagePack (job id, due as it was last wanted)
--   wanted-of            hash job id: MessagePack (namespace, key)
-- Moving to another store
--   moving               MessagePack (where to, since, whether it is sealed)
--   transit              set ref            what came from another store and was not let go yet
-- Statistics and the rest
--   roll:MINUTE          hash               "n" and "t" .. MessagePack (queue, task, outcome, measure, bucket)
--   minutes              zset               the minutes that have a roll
--   time-limits          hash task: JSON of messages.TimeLimit
--   audit                hash id: MessagePack (at, JSON of messages.Action)
--   meta                 hash               version of this layout; the numbers last given: job, worker, control,
--                                           revision, audit. With ages all that is left when a store is empty.
-- Channels of PUBLISH: wake:work, wake:results, wake:control, wake:replies. The message says nothing. And wake:seat:CHANNEL,
-- whose messages are token, ref, state and body of the job that the seat has been given.
--
-- Instants are microseconds since 1970, UTC; doubles hold them exactly until the year 2255.

local P = KEYS[1]
local A = cmsgpack.unpack(ARGV[2])
local now = tonumber(ARGV[1])
if not now then
    local time = redis.call('TIME')
    now = time[1] * 1000000 + time[2]
end

-- job.State and job.Kind
local WAITING, RUNNING, SUCCEEDED, FAILED, CANCELLED, UNCERTAIN = 0, 1, 2, 3, 4, 5
local RETRY, RELEASED, LOST, POSTPONED, REPLACED = 6, 7, 8, 9, 10
-- job.Flag
local AT_MOST_ONCE, OVERLAP_SKIP, OVERLAP_QUEUE, ON_FAILURE, FROM_RELEASE, COUNTS = 1, 4, 8, 16, 32, 64
local ANSWER_FLAG, ANSWERED_FLAG = 128, 256
-- marks, of bodies and of states: it has its key; it counts in lanes (states only); it is a member of gates; its gate has
-- not let it through (bodies only); somebody is to hear of its end. A settle reads the body of those jobs only whose marks it has to look after.
local KEYED, HOLDS, MEMBER, HELD, ANSWER = 1, 2, 4, 8, 16

-- marks, priority, flags, due, expires (infinity: never), created, bytes of queue, bytes of args
local HEAD, HEAD_BYTES = '<BBI4dddI2I4', 36
-- state, attempt, retries, lost, cancel, marks, worker (0: none), slot, token, started, finished (0: not), and the
-- bytes of result, error, progress and log, each one more than it has, 0: none
local STATE, STATE_BYTES, STATE_FIXED = '<BI4I4I4BBI4I4c16ddI4I4I4I4', 71, '<BI4I4I4BBI4I4c16dd'
local MARKS_AT, TAIL_FROM = 15, 56 -- where in a state these begin: its marks, the four lengths
-- kind, attempt, worker, slot, started, finished, then error and log as above
local ATTEMPT = '<BI4I4I4ddI4I4'
local NO_TOKEN = string.rep('0', 16)
local WAKE_AHEAD = 2000000
local AT_ONCE = 2000 -- arguments of one command: Lua's stack has an end

local function key(name) return P .. ':' .. name end
local function optional(text) return text and #text + 1 or 0 end
local function blob(number) return number and ARGV[number] end

-- Run a command on many arguments, as many at once as Lua takes. Answers that are lists are put together.
local function each(command, name, many)
    if #many <= AT_ONCE then
        if #many == 0 then return {} end
        return redis.call(command, name, unpack(many))
    end
    local all = {}
    for first = 1, #many, AT_ONCE do
        local some = redis.call(command, name, unpack(many, first, math.min(first + AT_ONCE - 1, #many)))
        if type(some) == 'table' and #some > 0 then
            for i = 1, #some do all[first - 1 + i] = some[i] end
        end
    end
    return all
end

-- What every worker does has to go on when the server's memory is full. Redis refuses a script then at the first command
-- that may need memory, if that is its first write; so write something first that needs none.
local function even_if_full() redis.call('ZREM', key('opens'), '') end

local woken = {}
local function wake(channel) woken[channel] = true end
local function wake_up()
    for channel in pairs(woken) do redis.call('PUBLISH', key('wake:' .. channel), '1') end
end

-- Give a new number of this kind.
local function number(kind) return redis.call('HINCRBY', key('meta'), kind, 1) end
