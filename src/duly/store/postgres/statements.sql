-- The PostgreSQL store: every fixed statement, by name. `duly.` stands for the store's schema, `?` and `:name` for
-- parameters. What a name takes and gives is the same as in the SQLite store (store/sql/db.py); the tables are in
-- schema_1.sql, functions in functions_1.sql. What is read in order to be changed is locked by the statement that reads it, in the order of seq.
-- "state + 0" keeps the planner from the index of running jobs where the job is known: to statistics of a moment when
-- nothing ran, that index is empty.

-- :name insert
INSERT INTO duly.jobs (id, task, args, queue, priority, due, expires, flags, headers, options, key, limit_key, created)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO NOTHING

-- :name key_holder
SELECT seq, id, state FROM duly.jobs WHERE key = ? AND state < 2 FOR UPDATE

-- :name give_up_key
UPDATE duly.jobs SET key = NULL WHERE seq = ?

-- :name levels
-- (queue, priority, earliest due) of the waiting jobs in the queues of an array: a skip scan.
WITH RECURSIVE level(queue, priority) AS (
    SELECT q, (SELECT max(priority) FROM duly.jobs WHERE state = 0 AND lane IS NULL AND queue = q)
    FROM unnest(?::text[]) q
    UNION ALL
    SELECT level.queue, (SELECT max(priority) FROM duly.jobs
                         WHERE state = 0 AND lane IS NULL AND queue = level.queue AND priority < level.priority)
    FROM level WHERE level.priority IS NOT NULL
)
SELECT queue, priority,
       (SELECT min(due) FROM duly.jobs
        WHERE state = 0 AND lane IS NULL AND queue = level.queue AND priority = level.priority)
FROM level WHERE priority IS NOT NULL

-- :name queues
-- Every queue with waiting jobs: a skip scan.
WITH RECURSIVE q(queue) AS (
    SELECT min(queue) FROM duly.jobs WHERE state = 0 AND lane IS NULL
    UNION ALL
    SELECT (SELECT min(queue) FROM duly.jobs WHERE state = 0 AND lane IS NULL AND queue > q.queue)
    FROM q WHERE q.queue IS NOT NULL
)
SELECT queue FROM q WHERE queue IS NOT NULL

-- :name due
SELECT seq, id, task, args, queue, priority, due, expires, attempt + 1, retries, lost, flags, headers,
    options, limit_key
FROM duly.jobs
WHERE state = 0 AND lane IS NULL AND queue = ? AND priority = ? AND due <= ?
ORDER BY due, seq LIMIT ? FOR UPDATE SKIP LOCKED

-- :name reserve
UPDATE duly.jobs SET state = 1, worker = ?, slot = ?, token = ?, attempt = attempt + 1, started = ?
WHERE seq = ANY (?::bigint[])

-- :name expire
UPDATE duly.jobs SET state = 4, finished = ?, error = ? WHERE seq = ANY (?::bigint[])

-- :name finish
UPDATE duly.jobs SET state = ?, started = ?, finished = ?, result = ?, error = ?, progress = coalesce(?, progress), log = ?
WHERE seq = ? AND token = ? AND state + 0 = 1

-- :name again
UPDATE duly.jobs SET state = CASE cancel WHEN 0 THEN 0 ELSE 4 END, finished = CASE cancel WHEN 0 THEN NULL ELSE ? END,
    due = ?, retries = retries + ?, error = ?, progress = coalesce(?, progress), started = NULL, log = NULL
WHERE seq = ? AND token = ? AND state + 0 = 1

-- :name again_with
UPDATE duly.jobs SET args = ? WHERE seq = ?

-- :name release
UPDATE duly.jobs SET state = CASE cancel WHEN 0 THEN 0 ELSE 4 END, finished = CASE cancel WHEN 0 THEN NULL ELSE ? END,
    attempt = attempt - 1, started = NULL, log = NULL
WHERE seq = ? AND token = ? AND state + 0 = 1

-- :name lose
UPDATE duly.jobs SET state = ?, lost = ?, error = ?, started = ?, finished = ?, log = ? WHERE seq = ?

-- :name record
INSERT INTO duly.attempts (job, attempt, outcome, worker, slot, started, finished, error, log)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- :name roll
INSERT INTO duly.rollup AS r (minute, queue, task, outcome, measure, bucket, n, total, shard)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)
ON CONFLICT (minute, queue, task, outcome, measure, bucket, shard)
    DO UPDATE SET n = r.n + excluded.n, total = r.total + excluded.total

-- :name set_progress
UPDATE duly.jobs SET progress = ? WHERE seq = ? AND token = ? AND state + 0 = 1

-- :name set_log
UPDATE duly.jobs SET log = ? WHERE seq = ? AND token = ? AND state + 0 = 1

-- :name holds
SELECT 1 FROM duly.jobs WHERE seq = ? AND token = ? AND state + 0 = 1 FOR SHARE

-- :name record_effect
INSERT INTO duly.effects (job, key, value)
SELECT seq, ?::text, ?::bytea FROM duly.jobs WHERE seq = ? AND token = ? AND state + 0 = 1 FOR SHARE
ON CONFLICT DO NOTHING

-- :name get_effect
SELECT value FROM duly.effects JOIN duly.jobs ON seq = job WHERE job = ? AND id = ? AND effects.key = ?

-- :name put_effect
INSERT INTO duly.effects (job, key, value) VALUES (?, ?, ?) ON CONFLICT DO NOTHING

-- :name register
INSERT INTO duly.workers (name, host, expires, info) VALUES (?, ?, ?, ?) RETURNING id

-- :name renew
UPDATE duly.workers SET expires = ? WHERE id = ? AND state = 0

-- :name alive
SELECT 1 FROM duly.workers WHERE id = ? AND state = 0

-- :name end_worker
UPDATE duly.workers SET state = ?, expires = CASE ?::integer WHEN 1 THEN 0 ELSE expires END,
    info = convert_to(jsonb_set(convert_from(info, 'UTF8')::jsonb, '{ended}', to_jsonb(?::bigint))::text, 'UTF8')
WHERE id = ? AND state = 0

-- :name lapsed
-- Those, too, whose last exchange came in beside their own end: they hold jobs still.
SELECT id, name, host, info FROM duly.workers
WHERE state = 0 AND (expires <= ? OR id = ANY (?::bigint[]))
    OR state > 0 AND id IN (SELECT worker FROM duly.jobs WHERE jobs.state = 1)
ORDER BY id FOR UPDATE

-- :name workers
SELECT id, expires, info FROM duly.workers ORDER BY id DESC

-- :name cancels
SELECT id, slot, token, cancel FROM duly.jobs WHERE state = 1 AND worker = ? AND cancel > 0

-- :name held
SELECT seq, id, task, queue, token, attempt, lost, flags, started, log, cancel, slot FROM duly.jobs
WHERE state = 1 AND worker = ? ORDER BY seq FOR UPDATE

-- :name attempts
SELECT a.attempt, a.outcome, w.name || '@' || w.host, a.slot, a.started, a.finished, a.error, a.log
FROM duly.attempts a LEFT JOIN duly.workers w ON w.id = a.worker WHERE a.job = ? ORDER BY a.n

-- :name current_attempt
SELECT j.seq, j.attempt, j.state, w.name || '@' || w.host, j.slot, j.started, j.finished, j.error, j.log
FROM duly.jobs j LEFT JOIN duly.workers w ON w.id = j.worker WHERE j.id = ?

-- :name results
SELECT j.id, j.state, j.attempt, j.due, j.result, j.error, j.progress, j.lane
FROM duly.jobs j WHERE j.id = ANY (?::text[])

-- :name cancel_waiting
UPDATE duly.jobs SET state = 4, finished = ?, error = ? WHERE seq = ANY (?::bigint[]) RETURNING seq, flags

-- :name cancel_running
UPDATE duly.jobs SET cancel = greatest(cancel, ?) WHERE seq = ANY (?::bigint[])

-- :name move
-- Moved beyond its expiry, a job has as long to start as it had before; one that had no time left has no expiry.
-- Flag 32 (FROM_RELEASE): the expiry is as relative as the due was.
UPDATE duly.jobs SET due = coalesce(:due::bigint, due), args = coalesce(:args::bytea, args),
    queue = coalesce(:queue::text, queue), priority = coalesce(:priority::smallint, priority),
    lane = CASE WHEN lane >= 'gate:' AND lane < 'gate;' THEN lane END,
    flags = CASE WHEN :due::bigint IS NULL THEN flags ELSE flags & ~32 END,
    expires = CASE WHEN :due::bigint IS NULL THEN expires WHEN expires > :due::bigint AND flags & 32 = 0 THEN expires
                   WHEN expires > due THEN :due::bigint + expires - due END
WHERE seq = ANY (:jobs::bigint[])

-- :name archive_attempt
INSERT INTO duly.attempts (job, attempt, outcome, worker, slot, started, finished, error, log)
SELECT seq, attempt, state, worker, slot, started, finished, error, log FROM duly.jobs
WHERE seq = ? AND started IS NOT NULL

-- :name requeue
UPDATE duly.jobs SET state = 0, due = ?, retries = 0, lost = 0, cancel = 0, expires = NULL, lane = NULL, started = NULL,
    finished = NULL, result = NULL, error = NULL, progress = NULL, log = NULL, flags = flags & ~256
WHERE seq = ?

-- :name answered
UPDATE duly.jobs SET flags = flags | 256 WHERE id = ? AND finished = ? AND state >= 2

-- :name clear_effects
DELETE FROM duly.effects WHERE job = ?

-- :name old
-- Members whose results a held or live job needs stay (flag 64: MEMBER).
SELECT seq FROM duly.jobs WHERE state >= 2 AND state = ? AND finished < ? AND (flags & 64 = 0 OR NOT EXISTS (
    SELECT 1 FROM duly.members m JOIN duly.jobs f ON f.after = m.gate WHERE m.job = jobs.seq AND f.state < 2
))
ORDER BY finished LIMIT ? FOR UPDATE SKIP LOCKED

-- :name delete_attempts
DELETE FROM duly.attempts WHERE job = ANY (?::bigint[])

-- :name delete_effects
DELETE FROM duly.effects WHERE job = ANY (?::bigint[])

-- :name delete_jobs
DELETE FROM duly.jobs WHERE seq = ANY (?::bigint[])

-- :name delete_workers
DELETE FROM duly.workers WHERE state > 0
    AND coalesce((convert_from(info, 'UTF8')::json ->> 'ended')::bigint,
        (convert_from(info, 'UTF8')::json ->> 'started')::bigint) < ?
    AND NOT EXISTS (SELECT 1 FROM duly.jobs WHERE jobs.state = 1 AND jobs.worker = workers.id)

-- :name delete_actions
DELETE FROM duly.audit WHERE at < ?

-- :name add_action
INSERT INTO duly.audit (at, info) VALUES (?, ?) RETURNING id

-- :name change_action
UPDATE duly.audit SET info = ? WHERE id = ?

-- :name actions
SELECT id, info FROM duly.audit WHERE id < ? ORDER BY id DESC LIMIT ?

-- :name effects
SELECT effects.key, value FROM duly.effects JOIN duly.jobs ON seq = job WHERE id = ? ORDER BY effects.key

-- :name count_due
WITH span AS (SELECT key, value AS first, lead(value) OVER (ORDER BY key) AS next
    FROM unnest(?::bigint[]) WITH ORDINALITY AS edge (value, key))
SELECT (SELECT count(*) FROM (SELECT 1 FROM duly.jobs WHERE state = 0 AND lane IS NULL AND queue = ? AND priority = ?
    AND due >= span.first AND due < span.next LIMIT ?) counted)
FROM span WHERE next IS NOT NULL ORDER BY key

-- :name delete_rollups
DELETE FROM duly.rollup WHERE minute < ?

-- :name count_ready
SELECT count(*) FROM (SELECT 1 FROM duly.jobs WHERE state = 0 AND lane IS NULL AND queue = ? AND priority = ?
    AND due <= ? LIMIT ?) counted

-- :name count_scheduled
SELECT count(*) FROM (SELECT 1 FROM duly.jobs WHERE state = 0 AND lane IS NULL AND queue = ? AND priority = ?
    AND due > ? LIMIT ?) counted

-- :name count_running
SELECT queue, count(*) FROM duly.jobs WHERE state = 1 GROUP BY queue

-- :name count_parked
-- Not those held at a gate.
SELECT queue, count(*), min(due) FROM duly.jobs
WHERE state = 0 AND lane IS NOT NULL AND (lane < 'gate:' OR lane >= 'gate;') GROUP BY queue

-- :name rollups
SELECT minute, queue, task, outcome, measure, bucket, sum(n)::bigint, sum(total)::bigint
FROM duly.rollup WHERE minute >= ? AND minute < ?
GROUP BY minute, queue, task, outcome, measure, bucket ORDER BY minute, queue, task, outcome, measure, bucket

-- :name set_limit
INSERT INTO duly.limits (scope, name, declared, info) VALUES (?, ?, ?::integer, ?)
ON CONFLICT (scope, name, declared) DO UPDATE SET info = excluded.info

-- :name declared
SELECT scope, name, info FROM duly.limits
WHERE declared = 1 AND scope <> 'queue' AND name = ANY (?::text[])

-- :name next_lane
SELECT min(opens) FROM duly.lanes WHERE opens IS NOT NULL

-- :name open_lanes
SELECT name, tat FROM duly.lanes WHERE opens <= ? ORDER BY opens LIMIT ?

-- :name unpark
UPDATE duly.jobs SET lane = NULL WHERE seq IN (
    SELECT seq FROM duly.jobs WHERE state = 0 AND lane = ? ORDER BY priority DESC, due LIMIT ?
    FOR UPDATE
)

-- :name untidy
-- Jobs that expired while they were parked; lanes that open later than any limit says, since a clock was ahead.
SELECT EXISTS (SELECT 1 FROM duly.jobs WHERE state = 0 AND lane IS NOT NULL AND expires IS NOT NULL AND expires <= ?
        AND flags & 32 = 0)
    OR EXISTS (SELECT 1 FROM duly.lanes WHERE opens IS NOT NULL AND opens > ?)

-- :name expire_parked
UPDATE duly.jobs SET state = 4, finished = ?, error = ? WHERE seq IN (
    SELECT seq FROM duly.jobs WHERE state = 0 AND lane IS NOT NULL AND expires IS NOT NULL AND expires <= ?
        AND flags & 32 = 0 ORDER BY seq LIMIT ? FOR UPDATE SKIP LOCKED
)
RETURNING seq, flags

-- :name open_now
UPDATE duly.lanes SET opens = 0 WHERE opens IS NOT NULL AND opens > ?

-- :name park
UPDATE duly.jobs SET lane = ? WHERE seq = ANY (?::bigint[])

-- :name park_lane
INSERT INTO duly.lanes AS l (name, tat, opens) VALUES (?, 0, ?)
ON CONFLICT (name) DO UPDATE SET opens = least(l.opens, excluded.opens)

-- :name set_tat
INSERT INTO duly.lanes AS l (name, tat, opens) VALUES (?, ?, NULL)
ON CONFLICT (name) DO UPDATE SET tat = excluded.tat, opens = CASE WHEN l.opens IS NULL THEN NULL ELSE excluded.tat END

-- :name let_go
DELETE FROM duly.holding WHERE job = ANY (?::bigint[]) RETURNING lane

-- :name reopen
UPDATE duly.lanes SET opens = 0 WHERE opens IS NOT NULL AND name = ANY (?::text[])

-- :name idle_lanes
DELETE FROM duly.lanes WHERE opens IS NULL AND tat < ?

-- :name new_revision
UPDATE duly.meta SET revision = revision + 1 RETURNING revision

-- :name put_schedule
INSERT INTO duly.schedules (name, owner, revision, paused, next, last, info) VALUES (?, ?, ?, ?::boolean::integer, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, revision = excluded.revision, paused = excluded.paused,
    next = excluded.next, last = excluded.last, info = excluded.info

-- :name schedules
SELECT name, owner, revision, paused, next, last, info FROM duly.schedules ORDER BY name

-- :name schedules_named
SELECT name, owner, revision, paused, next, last, info FROM duly.schedules
WHERE name = ANY (?::text[]) ORDER BY name

-- :name schedules_due
SELECT name, owner, revision, paused, next, last, info FROM duly.schedules
WHERE paused = 0 AND next <= ? ORDER BY next

-- :name next_schedule
SELECT min(next) FROM duly.schedules WHERE paused = 0 AND next IS NOT NULL

-- :name pause_schedule
UPDATE duly.schedules SET paused = 1, revision = ?, next = ? WHERE name = ?

-- :name resume_schedule
UPDATE duly.schedules SET paused = 0, revision = ?, next = ? WHERE name = ? AND revision = ?

-- :name advance
UPDATE duly.schedules SET next = ?, last = greatest(coalesce(last, ?), ?)
WHERE name = ? AND revision = ? AND next IS NOT DISTINCT FROM ?

-- :name add_occurrence
INSERT INTO duly.occurrences (schedule, nominal, job, made) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING

-- :name occurrences
SELECT schedule, nominal, job, made FROM duly.occurrences WHERE schedule = ? ORDER BY nominal DESC LIMIT ?

-- :name withdraw
-- Occurrences later than an instant whose jobs have never started, nor start at this moment.
WITH ahead AS MATERIALIZED (
    SELECT o.schedule, o.nominal FROM duly.occurrences o JOIN duly.jobs j ON j.id = o.job
    WHERE o.schedule = ? AND o.nominal > ? AND j.state = 0 AND j.attempt = 0 ORDER BY j.seq FOR UPDATE OF j
)
DELETE FROM duly.occurrences o USING ahead WHERE o.schedule = ahead.schedule AND o.nominal = ahead.nominal
RETURNING o.nominal, o.job

-- :name cancel_by_id
UPDATE duly.jobs SET state = 4, finished = ?, error = ? WHERE id = ANY (?::text[]) AND state = 0

-- :name schedule_of
SELECT schedule FROM duly.occurrences WHERE job = ?

-- :name any_exclusive
SELECT EXISTS (SELECT 1 FROM duly.schedules WHERE convert_from(info, 'UTF8')::json ->> 'overlap' <> 'allow')

-- :name delete_occurrences
DELETE FROM duly.occurrences WHERE job IN (SELECT id FROM duly.jobs WHERE seq = ANY (?::bigint[]))

-- :name view
SELECT j.seq, j.id, j.task, j.args, j.queue, j.priority, j.due, j.expires, j.key, j.headers, j.options, j.flags, j.state,
    j.attempt, j.retries, j.lost, j.created, j.started, j.finished, w.name || '@' || w.host, j.slot, j.result,
    j.error, j.progress, j.log, j.cancel, j.lane, j.limit_key, j.after,
    CASE WHEN j.flags & 64 > 0
        THEN (SELECT json_agg(json_build_array(gate, idx))::text FROM duly.members WHERE job = j.seq) END
FROM duly.jobs j LEFT JOIN duly.workers w ON w.id = j.worker

-- :name synced
WITH j AS MATERIALIZED (
    SELECT jobs.* FROM duly.synced s JOIN duly.jobs ON jobs.id = s.job WHERE s.namespace = :namespace
    ORDER BY jobs.seq FOR UPDATE OF jobs
)
SELECT s.key, s.job, s.due, j.seq, j.state, j.attempt, j.due, j.expires, j.task, j.args, j.queue, j.priority, j.headers,
    j.options, j.flags, j.limit_key
FROM duly.synced s LEFT JOIN j ON j.id = s.job WHERE s.namespace = :namespace ORDER BY s.key

-- :name put_synced
INSERT INTO duly.synced (namespace, key, job, due) VALUES (?, ?, ?, ?)
ON CONFLICT (namespace, key) DO UPDATE SET job = excluded.job, due = excluded.due

-- :name edit
UPDATE duly.jobs SET due = ?, expires = ?, task = ?, args = ?, queue = ?, priority = ?, headers = ?, options = ?, flags = ?,
    limit_key = ?, lane = NULL
WHERE seq = ?

-- :name send
INSERT INTO duly.control (worker, method, args, created, expires) VALUES (?, ?, ?, ?, ?) RETURNING id

-- :name unanswered
SELECT id, method, args, expires FROM duly.control WHERE worker = ? AND reply IS NULL AND expires > ? ORDER BY id

-- :name answer
UPDATE duly.control SET reply = ? WHERE id = ? AND reply IS NULL

-- :name replies
SELECT id, worker, reply FROM duly.control WHERE id = ANY (?::bigint[]) ORDER BY id

-- :name set_time_limit
INSERT INTO duly.time_limits (task, info) VALUES (?, ?) ON CONFLICT (task) DO UPDATE SET info = excluded.info

-- :name ahead
-- How many due jobs of this queue come before one, up to a cap.
SELECT count(*) FROM (
    SELECT 1 FROM duly.jobs WHERE state = 0 AND lane IS NULL AND queue = :queue AND due <= :now
        AND (priority > :priority OR priority = :priority AND (due, seq) < (:due, :seq))
    LIMIT :cap
) counted

-- :name rules_version
SELECT rules FROM duly.meta

-- :name limits
SELECT scope, name, info FROM duly.limits ORDER BY declared DESC

-- :name pauses
SELECT queue, since FROM duly.pauses ORDER BY queue

-- :name unset_limit
DELETE FROM duly.limits WHERE scope = ? AND name = ? AND declared = 0

-- :name undeclare_limit
DELETE FROM duly.limits WHERE scope = ? AND name = ? AND declared = 1

-- :name pause
INSERT INTO duly.pauses (queue, since) VALUES (?, ?) ON CONFLICT DO NOTHING

-- :name resume
DELETE FROM duly.pauses WHERE queue = ?

-- :name new_rules
UPDATE duly.meta SET rules = rules + 1

-- :name reopen_all
UPDATE duly.lanes SET opens = 0 WHERE opens IS NOT NULL

-- :name any_parked
SELECT 1 FROM duly.jobs WHERE state = 0 AND lane = ? LIMIT 1

-- :name set_opens
UPDATE duly.lanes SET opens = ? WHERE name = ?

-- :name hold_lane
INSERT INTO duly.holding (lane, job) VALUES (?, ?)

-- :name mend_tat
UPDATE duly.lanes SET tat = ? WHERE name = ?

-- :name tat
SELECT tat FROM duly.lanes WHERE name = ?

-- :name count_held
SELECT count(*) FROM duly.holding WHERE lane = ?

-- :name delete_schedule
DELETE FROM duly.schedules WHERE name = ?

-- :name delete_synced
DELETE FROM duly.synced WHERE namespace = ? AND key = ?

-- :name delete_control
DELETE FROM duly.control WHERE expires < ?

-- :name unset_time_limit
DELETE FROM duly.time_limits WHERE task = ?

-- :name time_limits
SELECT info FROM duly.time_limits ORDER BY task

-- :name worker_info
SELECT info FROM duly.workers WHERE id = ? AND state = 0 FOR UPDATE

-- :name set_worker_info
UPDATE duly.workers SET info = ? WHERE id = ?

-- :name passes
SELECT task, queue, limit_key FROM duly.jobs WHERE id = ?

-- :name place
SELECT queue, priority, due, seq FROM duly.jobs WHERE id = ?

-- :name pick
SELECT j.seq, j.id, j.state FROM duly.jobs j WHERE {condition} ORDER BY j.seq FOR UPDATE

-- :name key_is_taken
-- Whether another live job holds the key of this one.
SELECT 1 FROM duly.jobs ended JOIN duly.jobs live ON live.key = ended.key AND live.state < 2 WHERE ended.seq = ?

-- :name has_id
SELECT 1 FROM duly.jobs WHERE id = ?

-- :name due_next
SELECT version, due, clock FROM duly.next_due(?)

-- :name reserve_one
SELECT * FROM duly.reserve_one(?, ?, ?, ?, ?, ?, ?, ?)

-- :name enqueue
SELECT clock, stored FROM duly.enqueue(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- :name enqueue_one
-- The function in one statement, for one job, since calling it costs as much as storing the job. Gives the clock, and whether a
-- worker was woken before the job is on the disk ("flush" waits for it); nothing if nothing was stored: then the function says why.
INSERT INTO duly.jobs (id, task, args, queue, priority, due, expires, flags, headers, options, limit_key, created)
SELECT ?::text, ?::text, ?::bytea, ?::text, ?::smallint, ?::bigint, ?::bigint, ?::integer, ?::bytea, ?::bytea, ?::text,
    coalesce(?::bigint, duly.clock())
WHERE NOT EXISTS (SELECT FROM (SELECT sealed FROM duly.moving FOR SHARE) m WHERE sealed = 1)
ON CONFLICT (id) DO NOTHING
RETURNING created, CASE WHEN due <= created + ?::bigint THEN duly.wake_first('duly/work') END

-- :name flush
-- Wait until all that was committed before is on the disk: the smallest record that a commit waits for.
SELECT pg_logical_emit_message(true, 'duly', '')

-- :name exchange
SELECT * FROM duly.exchange(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- :name schema_version
SELECT version, oldest FROM duly.meta

-- :name sit
UPDATE duly.seats SET token = ? WHERE worker = ? AND slot = ?

-- :name confirm
-- Whether this is the token of the seat's last exchange. As it writes, what it sees is on the disk when it has answered.
UPDATE duly.seats SET token = token WHERE worker = ? AND slot = ? AND token = ? RETURNING true

-- :name leases
SELECT token, seq, id, task, args, queue, priority, due, expires, attempt, retries, lost, flags, headers, options
FROM duly.jobs WHERE state = 1 AND worker = ? AND slot = ? AND token = ? ORDER BY priority DESC, due, seq

-- :name unsettled
-- Which of these attempts are still running.
SELECT j.seq FROM unnest(?::bigint[], ?::bigint[]) o(ref, token)
JOIN duly.jobs j ON j.seq = o.ref AND j.token = o.token AND j.state + 0 = 1

-- :name delete_seats
DELETE FROM duly.seats s WHERE NOT EXISTS (SELECT FROM duly.workers w WHERE w.id = s.worker)

-- :name notify
SELECT pg_notify(?, '')

-- :name clock
SELECT duly.clock()

-- :name has_table
SELECT EXISTS (
    SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ? AND c.relname = 'meta')

-- :name settings
SELECT name, setting FROM pg_settings
WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes', 'server_version')

-- :name oldest_transaction
SELECT extract(epoch FROM clock_timestamp() - xact_start)::float8, usename || ', process ' || pid
FROM pg_stat_activity
WHERE xact_start IS NOT NULL AND backend_type = 'client backend' AND datname = current_database()
ORDER BY xact_start LIMIT 1

-- :name table_size
SELECT n_live_tup, n_dead_tup, pg_size_pretty(pg_table_size(relid)), pg_size_pretty(pg_indexes_size(relid))
FROM pg_stat_user_tables WHERE relid = to_regclass('duly.jobs')

-- :name has_ended
SELECT 1 FROM duly.jobs WHERE seq = ? AND state >= 2

-- :name any_lapsed
-- As "lapsed", for a glance.
SELECT 1 FROM duly.workers WHERE state = 0 AND expires <= ?
    OR state > 0 AND id IN (SELECT worker FROM duly.jobs WHERE jobs.state = 1) LIMIT 1

-- :name sit_down
-- Lock a seat; gives the token of its last exchange, or this one if there was none.
INSERT INTO duly.seats AS s (worker, slot, token) VALUES (?, ?, ?)
ON CONFLICT (worker, slot) DO UPDATE SET token = s.token RETURNING token

-- :name has_schema
SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = ?)

-- :name identity
SELECT identity FROM duly.meta

-- :name lock
SELECT pg_advisory_xact_lock(hashtextextended(?, 0))

-- :name vacuum
VACUUM (SKIP_LOCKED, INDEX_CLEANUP ON, TRUNCATE OFF) duly.jobs

-- :name sweep_is_due
-- Whether more is dead than this, and the role may do something about it.
SELECT s.n_dead_tup > ? AND pg_has_role(c.relowner, 'USAGE')
FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid WHERE s.relid = to_regclass('duly.jobs')
