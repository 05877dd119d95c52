-- The SQLite store: tables, indexes and every fixed statement, by name.
--
-- Tables
--   jobs      one row a job, from enqueue to outcome. The row is updated in place; seq (age) is its handle.
--   attempts  ended attempts other than the one in the jobs row (retries, losses, runs before a manual retry)
--   effects   values recorded by steps inside a task
--   workers   one row an incarnation; state 0 alive, 1 left properly, 2 rescued
--   rollup    per-minute histograms of lateness and runtime
--   limits, pauses, lanes, holding   what may not start although it is due (rules.py, lanes.py)
--   synced    which job stands for which key of a reconciled namespace (syncing.py)
--   control, time_limits   messages to workers with their replies; limits set at run time (messaging.py)
--   schedules, occurrences   recurring work (recurring.py)
--   gates, members   what makes jobs wait for others; see gates.sql (gates.py)
--   audit     what people did, a line each
--   moving, transit   where this store is being moved, and what came from another (moving.py)
--   meta      one row: rules, a number that grows when limits, pauses or overlap policies change; revision, the
--             number last given to a changed schedule
--
-- Indexes of jobs, and the question each answers
--   jobs_id       which job has this id? (idempotent enqueue, results)
--   jobs_key      does a live job hold this key?
--   jobs_waiting  what is due in this queue, best first? what comes next? One seek per queue and priority in
--                 use, then only rows that are due: ten million future jobs cost nothing.
--   jobs_parked   which due jobs does this limit hold back, best first?
--   jobs_parked_expires   which of them have expired meanwhile?
--   jobs_running  what does this worker (this executor) hold?
--   jobs_done     what ended, newest first or oldest first? (lists, prune)
--   jobs_unanswered   of which ends is somebody elsewhere to hear?
--
-- Instants are microseconds since 1970, UTC. state: 0 waiting, 1 running, 2 succeeded, 3 failed,
-- 4 cancelled, 5 uncertain. cancel: 1 asked to stop, 2 to be killed. started: while running, when it was
-- reserved; afterwards when it started; NULL while waiting. Needs SQLite 3.35 (RETURNING).

-- :name schema
CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY,   -- may be used again once its job is deleted: a lease's token and id tell
    id TEXT NOT NULL,
    task TEXT NOT NULL,
    args BLOB NOT NULL,
    queue TEXT NOT NULL,
    priority INTEGER NOT NULL,
    due INTEGER NOT NULL,
    expires INTEGER,
    state INTEGER NOT NULL DEFAULT 0,
    attempt INTEGER NOT NULL DEFAULT 0,
    retries INTEGER NOT NULL DEFAULT 0,
    lost INTEGER NOT NULL DEFAULT 0,
    flags INTEGER NOT NULL DEFAULT 0,
    headers BLOB,
    options BLOB,
    key TEXT,
    limit_key TEXT,
    lane TEXT,
    created INTEGER NOT NULL,
    worker INTEGER,
    slot INTEGER,
    token INTEGER,
    started INTEGER,
    finished INTEGER,
    cancel INTEGER NOT NULL DEFAULT 0,
    result BLOB,
    error BLOB,
    progress BLOB,
    log BLOB
);
CREATE UNIQUE INDEX jobs_id ON jobs(id);
CREATE UNIQUE INDEX jobs_key ON jobs(key) WHERE key IS NOT NULL AND state < 2;
CREATE INDEX jobs_waiting ON jobs(queue, priority, due) WHERE state = 0 AND lane IS NULL;
CREATE INDEX jobs_parked ON jobs(lane, priority DESC, due) WHERE state = 0 AND lane IS NOT NULL;
CREATE INDEX jobs_parked_expires ON jobs(expires) WHERE state = 0 AND lane IS NOT NULL AND expires IS NOT NULL;
CREATE INDEX jobs_running ON jobs(worker, slot) WHERE state = 1;
CREATE INDEX jobs_done ON jobs(state, finished) WHERE state >= 2;

CREATE TABLE attempts (
    job INTEGER NOT NULL,       -- jobs.seq
    attempt INTEGER NOT NULL,
    outcome INTEGER NOT NULL,   -- job.Kind
    worker INTEGER,
    slot INTEGER,
    started INTEGER,
    finished INTEGER,
    error BLOB,
    log BLOB
);
CREATE INDEX attempts_job ON attempts(job);

CREATE TABLE effects (
    job INTEGER NOT NULL,       -- jobs.seq
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (job, key)
) WITHOUT ROWID;

CREATE TABLE workers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    host TEXT NOT NULL,
    state INTEGER NOT NULL DEFAULT 0,
    expires INTEGER NOT NULL,
    info BLOB NOT NULL          -- JSON of job.WorkerInfo, and when it ended
);

CREATE TABLE rollup (
    minute INTEGER NOT NULL,
    queue TEXT NOT NULL,
    task TEXT NOT NULL,
    outcome TEXT NOT NULL,
    measure TEXT NOT NULL,
    bucket INTEGER NOT NULL,
    n INTEGER NOT NULL,
    total INTEGER NOT NULL,
    PRIMARY KEY (minute, queue, task, outcome, measure, bucket)
) WITHOUT ROWID;

CREATE TABLE limits (
    scope TEXT NOT NULL,
    name TEXT NOT NULL,
    declared INTEGER NOT NULL,  -- 1: by the app's code, 0: by hand, which stands above it
    info BLOB NOT NULL,         -- JSON of job.Limit
    PRIMARY KEY (scope, name, declared)
) WITHOUT ROWID;

CREATE TABLE pauses (queue TEXT PRIMARY KEY, since INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE lanes (name TEXT PRIMARY KEY, tat INTEGER NOT NULL, opens INTEGER) WITHOUT ROWID;
CREATE INDEX lanes_opens ON lanes(opens) WHERE opens IS NOT NULL;

CREATE TABLE holding (lane TEXT NOT NULL, job INTEGER NOT NULL, PRIMARY KEY (lane, job)) WITHOUT ROWID;
CREATE INDEX holding_job ON holding(job);

CREATE TABLE synced (
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    job TEXT NOT NULL,          -- jobs.id
    due INTEGER NOT NULL,       -- as it was last wanted
    PRIMARY KEY (namespace, key)
) WITHOUT ROWID;

CREATE TABLE control (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    worker INTEGER NOT NULL,    -- the incarnation it is for
    method TEXT NOT NULL,
    args BLOB NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    reply BLOB                  -- NULL: not answered
);
CREATE INDEX control_unanswered ON control(worker) WHERE reply IS NULL;

CREATE TABLE time_limits (task TEXT PRIMARY KEY, info BLOB NOT NULL) WITHOUT ROWID;

CREATE TABLE schedules (
    name TEXT PRIMARY KEY,
    owner TEXT,                 -- the app whose code declares it; NULL: stored by hand
    revision INTEGER NOT NULL,
    paused INTEGER NOT NULL,
    next INTEGER,
    last INTEGER,
    info BLOB NOT NULL          -- JSON of job.Schedule; what has a column of its own counts there
) WITHOUT ROWID;
CREATE INDEX schedules_next ON schedules(next) WHERE paused = 0 AND next IS NOT NULL;

CREATE TABLE occurrences (
    schedule TEXT NOT NULL,
    nominal INTEGER NOT NULL,
    job TEXT NOT NULL,          -- jobs.id
    made INTEGER NOT NULL,
    PRIMARY KEY (schedule, nominal)
) WITHOUT ROWID;
CREATE INDEX occurrences_job ON occurrences(job);

CREATE TABLE meta (rules INTEGER NOT NULL, revision INTEGER NOT NULL);
INSERT INTO meta (rules, revision) VALUES (0, 0);

-- :name schema_2
-- What version 2 has more than version 1.
CREATE TABLE IF NOT EXISTS audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    info BLOB NOT NULL          -- JSON of messages.Action; id counts as it is here
);
ALTER TABLE jobs ADD COLUMN after TEXT;
CREATE INDEX jobs_after ON jobs(after) WHERE after IS NOT NULL;
CREATE TABLE gates (
    id TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    left INTEGER NOT NULL,
    failed INTEGER NOT NULL DEFAULT 0,
    first_failed TEXT,          -- jobs.id
    finished INTEGER
) WITHOUT ROWID;
CREATE TABLE members (
    gate TEXT NOT NULL,
    idx INTEGER NOT NULL,
    job INTEGER NOT NULL,       -- jobs.seq
    counted INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (gate, idx)
) WITHOUT ROWID;
CREATE INDEX members_job ON members(job);
CREATE INDEX members_failed ON members(gate, idx) WHERE counted = 2;
CREATE INDEX jobs_unanswered ON jobs(finished) WHERE state >= 2 AND flags & 384 = 128;
CREATE TABLE moving (
    place TEXT NOT NULL,        -- URL of the store that this one is moved to; at most one row
    since INTEGER NOT NULL,
    sealed INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE transit (job INTEGER PRIMARY KEY);  -- jobs.seq of what was unpacked here and not released

-- :name insert
INSERT INTO jobs (id, task, args, queue, priority, due, expires, flags, headers, options, key, limit_key, created)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO NOTHING

-- :name key_holder
SELECT seq, id, state FROM jobs WHERE key = ? AND state < 2

-- :name give_up_key
UPDATE jobs SET key = NULL WHERE seq = ?

-- :name levels
-- (queue, priority, earliest due) of the waiting jobs in the queues of a JSON array: a skip scan.
WITH RECURSIVE level(queue, priority) AS (
    SELECT value, (SELECT max(priority) FROM jobs WHERE state = 0 AND lane IS NULL AND queue = value) FROM json_each(?)
    UNION ALL
    SELECT level.queue, (SELECT max(priority) FROM jobs
                         WHERE state = 0 AND lane IS NULL AND queue = level.queue AND priority < level.priority)
    FROM level WHERE level.priority IS NOT NULL
)
SELECT queue, priority,
       (SELECT min(due) FROM jobs
        WHERE state = 0 AND lane IS NULL AND queue = level.queue AND priority = level.priority)
FROM level WHERE priority IS NOT NULL

-- :name queues
-- Every queue with waiting jobs: a skip scan.
WITH RECURSIVE q(queue) AS (
    SELECT min(queue) FROM jobs WHERE state = 0 AND lane IS NULL
    UNION ALL
    SELECT (SELECT min(queue) FROM jobs WHERE state = 0 AND lane IS NULL AND queue > q.queue) FROM q WHERE q.queue IS NOT NULL
)
SELECT queue FROM q WHERE queue IS NOT NULL

-- :name due
SELECT seq, id, task, args, queue, priority, due, expires, attempt + 1, retries, lost, flags, headers,
    options, limit_key
FROM jobs
WHERE state = 0 AND lane IS NULL AND queue = ? AND priority = ? AND due <= ?
ORDER BY due, seq LIMIT ?

-- :name reserve
UPDATE jobs SET state = 1, worker = ?, slot = ?, token = ?, attempt = attempt + 1, started = ?
WHERE seq IN (SELECT value FROM json_each(?))

-- :name expire
UPDATE jobs SET state = 4, finished = ?, error = ? WHERE seq IN (SELECT value FROM json_each(?))

-- :name finish
UPDATE jobs SET state = ?, started = ?, finished = ?, result = ?, error = ?, progress = coalesce(?, progress), log = ?
WHERE seq = ? AND token = ? AND state = 1

-- :name again
UPDATE jobs SET state = CASE cancel WHEN 0 THEN 0 ELSE 4 END, finished = CASE cancel WHEN 0 THEN NULL ELSE ? END,
    due = ?, retries = retries + ?, error = ?, progress = coalesce(?, progress), started = NULL, log = NULL
WHERE seq = ? AND token = ? AND state = 1

-- :name again_with
UPDATE jobs SET args = ? WHERE seq = ?

-- :name release
UPDATE jobs SET state = CASE cancel WHEN 0 THEN 0 ELSE 4 END, finished = CASE cancel WHEN 0 THEN NULL ELSE ? END,
    attempt = attempt - 1, started = NULL, log = NULL
WHERE seq = ? AND token = ? AND state = 1

-- :name lose
UPDATE jobs SET state = ?, lost = ?, error = ?, started = ?, finished = ?, log = ? WHERE seq = ?

-- :name record
INSERT INTO attempts (job, attempt, outcome, worker, slot, started, finished, error, log)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- :name roll
INSERT INTO rollup (minute, queue, task, outcome, measure, bucket, n, total) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET n = n + excluded.n, total = total + excluded.total

-- :name set_progress
UPDATE jobs SET progress = ? WHERE seq = ? AND token = ? AND state = 1

-- :name set_log
UPDATE jobs SET log = ? WHERE seq = ? AND token = ? AND state = 1

-- :name holds
SELECT 1 FROM jobs WHERE seq = ? AND token = ? AND state = 1

-- :name record_effect
INSERT INTO effects (job, key, value) SELECT seq, ?, ? FROM jobs WHERE seq = ? AND token = ? AND state = 1
ON CONFLICT DO NOTHING

-- :name get_effect
SELECT value FROM effects JOIN jobs ON seq = job WHERE job = ? AND id = ? AND effects.key = ?

-- :name put_effect
INSERT INTO effects (job, key, value) VALUES (?, ?, ?) ON CONFLICT DO NOTHING

-- :name register
INSERT INTO workers (name, host, expires, info) VALUES (?, ?, ?, ?) RETURNING id

-- :name renew
UPDATE workers SET expires = ? WHERE id = ? AND state = 0

-- :name alive
SELECT 1 FROM workers WHERE id = ? AND state = 0

-- :name end_worker
UPDATE workers SET state = ?, expires = CASE ? WHEN 1 THEN 0 ELSE expires END,
    info = CAST(json_set(CAST(info AS TEXT), '$.ended', ?) AS BLOB)
WHERE id = ? AND state = 0

-- :name lapsed
SELECT id, name, host, info FROM workers
WHERE state = 0 AND (expires <= ? OR id IN (SELECT value FROM json_each(?)))

-- :name workers
SELECT id, expires, info FROM workers ORDER BY id DESC

-- :name cancels
SELECT id, slot, token, cancel FROM jobs WHERE state = 1 AND worker = ? AND cancel > 0

-- :name held
SELECT seq, id, task, queue, token, attempt, lost, flags, started, log, cancel, slot FROM jobs
WHERE state = 1 AND worker = ?

-- :name attempts
SELECT a.attempt, a.outcome, w.name || '@' || w.host, a.slot, a.started, a.finished, a.error, a.log
FROM attempts a LEFT JOIN workers w ON w.id = a.worker WHERE a.job = ? ORDER BY a.rowid

-- :name current_attempt
SELECT j.seq, j.attempt, j.state, w.name || '@' || w.host, j.slot, j.started, j.finished, j.error, j.log
FROM jobs j LEFT JOIN workers w ON w.id = j.worker WHERE j.id = ?

-- :name results
SELECT j.id, j.state, j.attempt, j.due, j.result, j.error, j.progress, j.lane
FROM json_each(?) i JOIN jobs j ON j.id = i.value

-- :name cancel_waiting
UPDATE jobs SET state = 4, finished = ?, error = ? WHERE seq IN (SELECT value FROM json_each(?)) RETURNING seq, flags

-- :name cancel_running
UPDATE jobs SET cancel = max(cancel, ?) WHERE seq IN (SELECT value FROM json_each(?))

-- :name move
-- Moved beyond its expiry, a job has as long to start as it had before; one that had no time left has no expiry.
-- Flag 32 (FROM_RELEASE): the expiry is as relative as the due was.
UPDATE jobs SET due = coalesce(:due, due), args = coalesce(:args, args), queue = coalesce(:queue, queue),
    priority = coalesce(:priority, priority), lane = CASE WHEN lane >= 'gate:' AND lane < 'gate;' THEN lane END,
    flags = CASE WHEN :due IS NULL THEN flags ELSE flags & ~32 END,
    expires = CASE WHEN :due IS NULL THEN expires WHEN expires > :due AND flags & 32 = 0 THEN expires
                   WHEN expires > due THEN :due + expires - due END
WHERE seq IN (SELECT value FROM json_each(:jobs))

-- :name has_ended
SELECT 1 FROM jobs WHERE seq = ? AND state >= 2

-- :name archive_attempt
INSERT INTO attempts (job, attempt, outcome, worker, slot, started, finished, error, log)
SELECT seq, attempt, state, worker, slot, started, finished, error, log FROM jobs
WHERE seq = ? AND started IS NOT NULL

-- :name requeue
UPDATE jobs SET state = 0, due = ?, retries = 0, lost = 0, cancel = 0, expires = NULL, lane = NULL, started = NULL,
    finished = NULL, result = NULL, error = NULL, progress = NULL, log = NULL, flags = flags & ~256
WHERE seq = ?

-- :name answered
UPDATE jobs SET flags = flags | 256 WHERE id = ? AND finished = ? AND state >= 2

-- :name clear_effects
DELETE FROM effects WHERE job = ?

-- :name old
-- "state >= 2" says what the planner cannot know of a parameter: that the index of ended jobs has them all.
-- Members whose results a held or live job needs stay (flag 64: MEMBER).
SELECT seq FROM jobs WHERE state >= 2 AND state = ? AND finished < ? AND (flags & 64 = 0 OR NOT EXISTS (
    SELECT 1 FROM members m JOIN jobs f ON f.after = m.gate WHERE m.job = jobs.seq AND f.state < 2
))
ORDER BY finished LIMIT ?

-- :name delete_attempts
DELETE FROM attempts WHERE job IN (SELECT value FROM json_each(?))

-- :name delete_effects
DELETE FROM effects WHERE job IN (SELECT value FROM json_each(?))

-- :name delete_jobs
DELETE FROM jobs WHERE seq IN (SELECT value FROM json_each(?))

-- :name delete_workers
DELETE FROM workers WHERE state > 0
    AND coalesce(json_extract(CAST(info AS TEXT), '$.ended'), json_extract(CAST(info AS TEXT), '$.started')) < ?
    AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.state = 1 AND jobs.worker = workers.id)

-- :name delete_actions
DELETE FROM audit WHERE at < ?

-- :name add_action
INSERT INTO audit (at, info) VALUES (?, ?) RETURNING id

-- :name change_action
UPDATE audit SET info = ? WHERE id = ?

-- :name actions
SELECT id, info FROM audit WHERE id < ? ORDER BY id DESC LIMIT ?

-- :name effects
SELECT effects.key, value FROM effects JOIN jobs ON seq = job WHERE id = ? ORDER BY effects.key

-- :name count_due
WITH span AS (SELECT key, value AS first, lead(value) OVER (ORDER BY key) AS next FROM json_each(?))
SELECT (SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state = 0 AND lane IS NULL AND queue = ? AND priority = ?
    AND due >= span.first AND due < span.next LIMIT ?))
FROM span WHERE next IS NOT NULL ORDER BY key

-- :name delete_rollups
DELETE FROM rollup WHERE minute < ?

-- :name count_ready
SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state = 0 AND lane IS NULL AND queue = ? AND priority = ?
    AND due <= ? LIMIT ?)

-- :name count_scheduled
SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state = 0 AND lane IS NULL AND queue = ? AND priority = ?
    AND due > ? LIMIT ?)

-- :name count_running
SELECT queue, count(*) FROM jobs WHERE state = 1 GROUP BY queue

-- :name count_parked
-- Not those held at a gate.
SELECT queue, count(*), min(due) FROM jobs
WHERE state = 0 AND lane IS NOT NULL AND (lane < 'gate:' OR lane >= 'gate;') GROUP BY queue

-- :name rollups
SELECT minute, queue, task, outcome, measure, bucket, n, total FROM rollup WHERE minute >= ? AND minute < ?
ORDER BY minute, queue, task, outcome, measure, bucket

-- :name set_limit
INSERT INTO limits (scope, name, declared, info) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET info = excluded.info

-- :name declared
SELECT scope, name, info FROM limits
WHERE declared AND scope <> 'queue' AND name IN (SELECT value FROM json_each(?))

-- :name next_lane
SELECT min(opens) FROM lanes WHERE opens IS NOT NULL

-- :name open_lanes
SELECT name, tat FROM lanes WHERE opens <= ? ORDER BY opens LIMIT ?

-- :name unpark
UPDATE jobs SET lane = NULL WHERE seq IN (
    SELECT seq FROM jobs WHERE state = 0 AND lane = ? ORDER BY priority DESC, due LIMIT ?
)

-- :name untidy
-- Jobs that expired while they were parked; lanes that open later than any limit says, since a clock was ahead.
SELECT EXISTS (SELECT 1 FROM jobs WHERE state = 0 AND lane IS NOT NULL AND expires IS NOT NULL AND expires <= ?
        AND flags & 32 = 0)
    OR EXISTS (SELECT 1 FROM lanes WHERE opens IS NOT NULL AND opens > ?)

-- :name expire_parked
UPDATE jobs SET state = 4, finished = ?, error = ? WHERE seq IN (
    SELECT seq FROM jobs WHERE state = 0 AND lane IS NOT NULL AND expires IS NOT NULL AND expires <= ?
        AND flags & 32 = 0 LIMIT ?
)
RETURNING seq, flags

-- :name open_now
UPDATE lanes SET opens = 0 WHERE opens IS NOT NULL AND opens > ?

-- :name park
UPDATE jobs SET lane = ? WHERE seq IN (SELECT value FROM json_each(?))

-- :name park_lane
INSERT INTO lanes (name, tat, opens) VALUES (?, 0, ?)
ON CONFLICT DO UPDATE SET opens = min(coalesce(opens, excluded.opens), excluded.opens)

-- :name set_tat
INSERT INTO lanes (name, tat) VALUES (?, ?)
ON CONFLICT DO UPDATE SET tat = excluded.tat, opens = CASE WHEN opens IS NULL THEN NULL ELSE excluded.tat END

-- :name let_go
DELETE FROM holding WHERE job IN (SELECT value FROM json_each(?)) RETURNING lane

-- :name reopen
UPDATE lanes SET opens = 0 WHERE opens IS NOT NULL AND name IN (SELECT value FROM json_each(?))

-- :name idle_lanes
DELETE FROM lanes WHERE opens IS NULL AND tat < ?

-- :name new_revision
UPDATE meta SET revision = revision + 1 RETURNING revision

-- :name put_schedule
INSERT INTO schedules (name, owner, revision, paused, next, last, info) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET owner = excluded.owner, revision = excluded.revision, paused = excluded.paused,
    next = excluded.next, last = excluded.last, info = excluded.info

-- :name schedules
SELECT name, owner, revision, paused, next, last, info FROM schedules ORDER BY name

-- :name schedules_named
SELECT name, owner, revision, paused, next, last, info FROM schedules
WHERE name IN (SELECT value FROM json_each(?)) ORDER BY name

-- :name schedules_due
SELECT name, owner, revision, paused, next, last, info FROM schedules
WHERE paused = 0 AND next <= ? ORDER BY next

-- :name next_schedule
SELECT min(next) FROM schedules WHERE paused = 0 AND next IS NOT NULL

-- :name pause_schedule
UPDATE schedules SET paused = 1, revision = ?, next = ? WHERE name = ?

-- :name resume_schedule
UPDATE schedules SET paused = 0, revision = ?, next = ? WHERE name = ? AND revision = ?

-- :name advance
UPDATE schedules SET next = ?, last = max(coalesce(last, ?), ?) WHERE name = ? AND revision = ? AND next IS ?

-- :name add_occurrence
INSERT INTO occurrences (schedule, nominal, job, made) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING

-- :name occurrences
SELECT schedule, nominal, job, made FROM occurrences WHERE schedule = ? ORDER BY nominal DESC LIMIT ?

-- :name withdraw
-- Occurrences later than an instant whose jobs have never started.
DELETE FROM occurrences WHERE schedule = ? AND nominal > ?
    AND EXISTS (SELECT 1 FROM jobs WHERE jobs.id = occurrences.job AND state = 0 AND attempt = 0)
RETURNING nominal, job

-- :name cancel_by_id
UPDATE jobs SET state = 4, finished = ?, error = ? WHERE id IN (SELECT value FROM json_each(?)) AND state = 0

-- :name schedule_of
SELECT schedule FROM occurrences WHERE job = ?

-- :name any_exclusive
SELECT EXISTS (SELECT 1 FROM schedules WHERE json_extract(CAST(info AS TEXT), '$.overlap') <> 'allow')

-- :name delete_occurrences
DELETE FROM occurrences WHERE job IN (SELECT id FROM jobs WHERE seq IN (SELECT value FROM json_each(?)))

-- :name view
SELECT j.seq, j.id, j.task, j.args, j.queue, j.priority, j.due, j.expires, j.key, j.headers, j.options, j.flags, j.state,
    j.attempt, j.retries, j.lost, j.created, j.started, j.finished, w.name || '@' || w.host, j.slot, j.result,
    j.error, j.progress, j.log, j.cancel, j.lane, j.limit_key, j.after,
    CASE WHEN j.flags & 64 THEN (SELECT json_group_array(json_array(gate, idx)) FROM members WHERE job = j.seq) END
FROM jobs j LEFT JOIN workers w ON w.id = j.worker

-- :name synced
SELECT s.key, s.job, s.due, j.seq, j.state, j.attempt, j.due, j.expires, j.task, j.args, j.queue, j.priority, j.headers,
    j.options, j.flags, j.limit_key
FROM synced s LEFT JOIN jobs j ON j.id = s.job WHERE s.namespace = :namespace ORDER BY s.key

-- :name put_synced
INSERT INTO synced (namespace, key, job, due) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET job = excluded.job, due = excluded.due

-- :name edit
UPDATE jobs SET due = ?, expires = ?, task = ?, args = ?, queue = ?, priority = ?, headers = ?, options = ?, flags = ?,
    limit_key = ?, lane = NULL
WHERE seq = ?

-- :name send
INSERT INTO control (worker, method, args, created, expires) VALUES (?, ?, ?, ?, ?) RETURNING id

-- :name unanswered
SELECT id, method, args, expires FROM control WHERE worker = ? AND reply IS NULL AND expires > ? ORDER BY id

-- :name answer
UPDATE control SET reply = ? WHERE id = ? AND reply IS NULL

-- :name replies
SELECT id, worker, reply FROM control WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id

-- :name set_time_limit
INSERT INTO time_limits (task, info) VALUES (?, ?) ON CONFLICT DO UPDATE SET info = excluded.info

-- :name ahead
-- How many due jobs of this queue come before one, up to a cap.
SELECT count(*) FROM (
    SELECT 1 FROM jobs WHERE state = 0 AND lane IS NULL AND queue = :queue AND due <= :now
        AND (priority > :priority OR priority = :priority AND (due, seq) < (:due, :seq))
    LIMIT :cap
)

-- :name rules_version
SELECT rules FROM meta

-- :name limits
SELECT scope, name, info FROM limits ORDER BY declared DESC

-- :name pauses
SELECT queue, since FROM pauses ORDER BY queue

-- :name unset_limit
DELETE FROM limits WHERE scope = ? AND name = ? AND NOT declared

-- :name undeclare_limit
DELETE FROM limits WHERE scope = ? AND name = ? AND declared

-- :name pause
INSERT INTO pauses (queue, since) VALUES (?, ?) ON CONFLICT DO NOTHING

-- :name resume
DELETE FROM pauses WHERE queue = ?

-- :name new_rules
UPDATE meta SET rules = rules + 1

-- :name reopen_all
UPDATE lanes SET opens = 0 WHERE opens IS NOT NULL

-- :name any_parked
SELECT 1 FROM jobs WHERE state = 0 AND lane = ? LIMIT 1

-- :name set_opens
UPDATE lanes SET opens = ? WHERE name = ?

-- :name hold_lane
INSERT INTO holding (lane, job) VALUES (?, ?)

-- :name mend_tat
UPDATE lanes SET tat = ? WHERE name = ?

-- :name tat
SELECT tat FROM lanes WHERE name = ?

-- :name count_held
SELECT count(*) FROM holding WHERE lane = ?

-- :name delete_schedule
DELETE FROM schedules WHERE name = ?

-- :name delete_synced
DELETE FROM synced WHERE namespace = ? AND key = ?

-- :name delete_control
DELETE FROM control WHERE expires < ?

-- :name unset_time_limit
DELETE FROM time_limits WHERE task = ?

-- :name time_limits
SELECT info FROM time_limits ORDER BY task

-- :name worker_info
SELECT info FROM workers WHERE id = ? AND state = 0

-- :name set_worker_info
UPDATE workers SET info = ? WHERE id = ?

-- :name passes
SELECT task, queue, limit_key FROM jobs WHERE id = ?

-- :name place
SELECT queue, priority, due, seq FROM jobs WHERE id = ?

-- :name has_id
SELECT 1 FROM jobs WHERE id = ?

-- :name pick
SELECT j.seq, j.id, j.state FROM jobs j WHERE {condition}

-- :name key_is_taken
-- Whether another live job holds the key of this one.
SELECT 1 FROM jobs ended JOIN jobs live ON live.key = ended.key AND live.state < 2 WHERE ended.seq = ?

-- :name any_lapsed
SELECT 1 FROM workers WHERE state = 0 AND expires <= ? LIMIT 1
