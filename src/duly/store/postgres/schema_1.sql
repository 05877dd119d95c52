-- The PostgreSQL store: tables, indexes and functions, version 1. `duly.` stands for the store's schema.
--
-- Tables
--   jobs      one row a job, from enqueue to outcome. Each change writes a new version of the row; seq (age) is its handle.
--   attempts  ended attempts other than the one in the jobs row (retries, losses, runs before a manual retry)
--   effects   values recorded by steps inside a task
--   seats     the token of the last exchange of each seat that changed something: an exchange whose answer was lost is
--             recognised when it is repeated
--   workers   one row an incarnation; state 0 alive, 1 left properly, 2 rescued
--   rollup    per-minute histograms of lateness and runtime; each seat adds to the rows of its shard, so that they do
--             not wait for each other, and whoever reads adds the shards up
--   limits, pauses, lanes, holding   what may not start although it is due
--   synced    which job stands for which key of a reconciled namespace
--   control, time_limits   messages to workers with their replies; limits set at run time
--   schedules, occurrences   recurring work
--   gates, members   what makes jobs wait for others (gates.sql)
--   audit     what people did, a line each
--   moving, transit   where this store is being moved, and what came from another (moving.sql)
--   meta      one row: version of this schema, and the oldest that a release may know and still work here; rules, a number
--             that grows when limits, pauses or overlap policies change; revision, the number last given to a schedule
--
-- Indexes of jobs, and the question each answers: as in SQLite's statements.sql. All but two are partial, so that a job
-- that ends leaves those that reserves read. The two that are not have room for the entries of all three versions of a row:
-- pages that are full from the beginning are searched for dead entries, in vain, and split. Text is compared by bytes
-- (COLLATE "C").
--
-- A later version adds; what an older release calls stays until `oldest` says that it may no longer work here.

CREATE TABLE duly.jobs (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY WITH (fillfactor = 50),
    due bigint NOT NULL,
    created bigint NOT NULL,
    expires bigint,
    started bigint,
    finished bigint,
    worker bigint,
    token bigint,
    slot integer,
    flags integer NOT NULL DEFAULT 0,
    attempt integer NOT NULL DEFAULT 0,
    retries integer NOT NULL DEFAULT 0,
    lost integer NOT NULL DEFAULT 0,
    state smallint NOT NULL DEFAULT 0,
    priority smallint NOT NULL,
    cancel smallint NOT NULL DEFAULT 0,
    id text COLLATE "C" NOT NULL,
    task text COLLATE "C" NOT NULL,
    queue text COLLATE "C" NOT NULL,
    key text COLLATE "C",
    limit_key text COLLATE "C",
    lane text COLLATE "C",
    after text COLLATE "C",     -- the gate it is, or was, held at
    args bytea NOT NULL,
    headers bytea,
    options bytea,
    result bytea,
    error bytea,
    progress bytea,
    log bytea
) WITH (
    -- What reserves read has to stay free of dead entries, so it is vacuumed often and without pauses.
    autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0,
    autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_threshold = 20000,
    autovacuum_analyze_scale_factor = 0.05
);
CREATE UNIQUE INDEX jobs_id ON duly.jobs (id) WITH (fillfactor = 50);
CREATE UNIQUE INDEX jobs_key ON duly.jobs (key) WHERE key IS NOT NULL AND state < 2;
CREATE INDEX jobs_waiting ON duly.jobs (queue, priority DESC, due, seq) WHERE state = 0 AND lane IS NULL;
CREATE INDEX jobs_parked ON duly.jobs (lane, priority DESC, due) WHERE state = 0 AND lane IS NOT NULL;
CREATE INDEX jobs_parked_expires ON duly.jobs (expires)
    WHERE state = 0 AND lane IS NOT NULL AND expires IS NOT NULL;
CREATE INDEX jobs_running ON duly.jobs (worker, slot) WHERE state = 1;
CREATE INDEX jobs_after ON duly.jobs (after) WHERE after IS NOT NULL;
CREATE INDEX jobs_done ON duly.jobs (state, finished, seq) WHERE state >= 2;
CREATE INDEX jobs_unanswered ON duly.jobs (finished) WHERE state >= 2 AND flags & 384 = 128;

CREATE TABLE duly.attempts (
    n bigint GENERATED ALWAYS AS IDENTITY,
    job bigint NOT NULL,        -- jobs.seq
    attempt integer NOT NULL,
    outcome smallint NOT NULL,  -- job.Kind
    worker bigint,
    slot integer,
    started bigint,
    finished bigint,
    error bytea,
    log bytea
);
CREATE INDEX attempts_job ON duly.attempts (job, n);

CREATE TABLE duly.effects (
    job bigint NOT NULL,        -- jobs.seq
    key text COLLATE "C" NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (job, key)
);

CREATE TABLE duly.seats (
    worker bigint NOT NULL,
    slot integer NOT NULL,
    token bigint NOT NULL,
    PRIMARY KEY (worker, slot)
) WITH (fillfactor = 20, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);

CREATE TABLE duly.workers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    host text NOT NULL,
    state smallint NOT NULL DEFAULT 0,
    expires bigint NOT NULL,
    info bytea NOT NULL         -- JSON of job.WorkerInfo, and when it ended
) WITH (fillfactor = 50);

CREATE TABLE duly.rollup (
    minute bigint NOT NULL,
    bucket integer NOT NULL,
    shard smallint NOT NULL,
    queue text COLLATE "C" NOT NULL,
    task text COLLATE "C" NOT NULL,
    outcome text COLLATE "C" NOT NULL,
    measure text COLLATE "C" NOT NULL,
    n bigint NOT NULL,
    total bigint NOT NULL,
    PRIMARY KEY (minute, queue, task, outcome, measure, bucket, shard)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_scale_factor = 0.02);

CREATE TABLE duly.limits (
    scope text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    declared integer NOT NULL,  -- 1: by the app's code, 0: by hand, which stands above it
    info bytea NOT NULL,        -- JSON of job.Limit
    PRIMARY KEY (scope, name, declared)
);

CREATE TABLE duly.pauses (queue text COLLATE "C" PRIMARY KEY, since bigint NOT NULL);

CREATE TABLE duly.lanes (
    name text COLLATE "C" PRIMARY KEY,
    tat bigint NOT NULL,
    opens bigint
) WITH (fillfactor = 50);
CREATE INDEX lanes_opens ON duly.lanes (opens) WHERE opens IS NOT NULL;

CREATE TABLE duly.holding (lane text COLLATE "C" NOT NULL, job bigint NOT NULL, PRIMARY KEY (lane, job));
CREATE INDEX holding_job ON duly.holding (job);

CREATE TABLE duly.synced (
    namespace text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    job text COLLATE "C" NOT NULL,  -- jobs.id
    due bigint NOT NULL,            -- as it was last wanted
    PRIMARY KEY (namespace, key)
);

CREATE TABLE duly.control (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    worker bigint NOT NULL,     -- the incarnation it is for
    method text NOT NULL,
    args bytea NOT NULL,
    created bigint NOT NULL,
    expires bigint NOT NULL,
    reply bytea                 -- NULL: not answered
);
CREATE INDEX control_unanswered ON duly.control (worker) WHERE reply IS NULL;

CREATE TABLE duly.time_limits (task text COLLATE "C" PRIMARY KEY, info bytea NOT NULL);

CREATE TABLE duly.schedules (
    name text COLLATE "C" PRIMARY KEY,
    owner text COLLATE "C",     -- the app whose code declares it; NULL: stored by hand
    revision bigint NOT NULL,
    paused integer NOT NULL,
    next bigint,
    last bigint,
    info bytea NOT NULL         -- JSON of job.Schedule; what has a column of its own counts there
) WITH (fillfactor = 50);
CREATE INDEX schedules_next ON duly.schedules (next) WHERE paused = 0 AND next IS NOT NULL;

CREATE TABLE duly.occurrences (
    schedule text COLLATE "C" NOT NULL,
    nominal bigint NOT NULL,
    job text COLLATE "C" NOT NULL,  -- jobs.id
    made bigint NOT NULL,
    PRIMARY KEY (schedule, nominal)
);
CREATE INDEX occurrences_job ON duly.occurrences (job);

CREATE TABLE duly.audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at bigint NOT NULL,
    info bytea NOT NULL         -- JSON of messages.Action; id counts as it is here
);

CREATE TABLE duly.gates (
    id text COLLATE "C" PRIMARY KEY,
    size bigint NOT NULL,
    missing bigint NOT NULL,    -- members that have not ended; GateView.left
    failed bigint NOT NULL DEFAULT 0,
    first_failed text COLLATE "C",  -- jobs.id
    finished bigint
) WITH (fillfactor = 50);

CREATE TABLE duly.members (
    gate text COLLATE "C" NOT NULL,
    idx integer NOT NULL,
    job bigint NOT NULL,        -- jobs.seq
    counted smallint NOT NULL DEFAULT 0,  -- 0 has not ended (or is retried), 1 succeeded, 2 ended otherwise
    PRIMARY KEY (gate, idx)
) WITH (fillfactor = 70);
CREATE INDEX members_job ON duly.members (job);
CREATE INDEX members_failed ON duly.members (gate, idx) WHERE counted = 2;

CREATE TABLE duly.moving (
    place text NOT NULL,        -- URL of the store that this one is moved to; at most one row
    since bigint NOT NULL,
    sealed integer NOT NULL DEFAULT 0
);
CREATE TABLE duly.transit (job bigint PRIMARY KEY);  -- jobs.seq of what was unpacked here and not released

CREATE TABLE duly.meta (
    version integer NOT NULL,
    oldest integer NOT NULL,
    identity text NOT NULL DEFAULT gen_random_uuid()::text,  -- of this store, among all
    rules bigint NOT NULL,
    revision bigint NOT NULL
) WITH (fillfactor = 50);
INSERT INTO duly.meta (version, oldest, rules, revision) VALUES (1, 1, 0, 0);

-- The clock of the store, µs since 1970.
CREATE FUNCTION duly.clock() RETURNS bigint LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
$$;

-- Wake who waits on a channel. Whoever is idle holds a shared lock on its own connection (waking.py), and only then is
-- there somebody to be told: a notification costs every commit beside it a wait in line.
-- One expression, so that it becomes part of the statement that has it. What it gives says nothing.
CREATE FUNCTION duly.wake(name text) RETURNS boolean LANGUAGE sql AS $$
    SELECT CASE WHEN pg_try_advisory_lock(hashtextextended(name, 0)) THEN pg_advisory_unlock(hashtextextended(name, 0))
        ELSE pg_notify(name, '') IS NULL END
$$;

-- The same, before the disk is waited for if there is somebody to be told, which is what it gives: then the caller waits, in a
-- transaction after this one.
CREATE FUNCTION duly.wake_first(name text) RETURNS boolean LANGUAGE sql AS $$
    SELECT CASE WHEN pg_try_advisory_lock(hashtextextended(name, 0))
        THEN NOT pg_advisory_unlock(hashtextextended(name, 0))
        ELSE (pg_notify(name, '') IS NULL) IN (true, false) AND set_config('synchronous_commit', 'off', true) = 'off' END
$$;

-- Store jobs without keys, in order. `stored`: the ids that were not there before; NULL if that is all of them. Raises
-- DL001 if this store was moved away and sealed.
CREATE FUNCTION duly.enqueue(
    at bigint, ids text[], tasks text[], args bytea[], queues text[], priorities integer[], dues bigint[],
    expiries bigint[], flags integer[], headers bytea[], options bytea[], limit_keys text[], wake_ahead bigint,
    OUT clock bigint, OUT stored text[]
) LANGUAGE plpgsql AS $$
BEGIN
    clock := coalesce(at, duly.clock());
    IF EXISTS (SELECT FROM (SELECT sealed FROM duly.moving FOR SHARE) m WHERE sealed = 1) THEN
        RAISE EXCEPTION 'duly: moved away' USING ERRCODE = 'DL001';
    END IF;
    WITH added AS (
        INSERT INTO duly.jobs
            (id, task, args, queue, priority, due, expires, flags, headers, options, limit_key, created)
        SELECT j.*, clock
        FROM unnest(ids, tasks, args, queues, priorities, dues, expiries, flags, headers, options, limit_keys) j
        ON CONFLICT (id) DO NOTHING
        RETURNING id
    )
    SELECT array_agg(added.id) INTO stored FROM added;
    stored := coalesce(stored, '{}');
    IF EXISTS (SELECT FROM unnest(dues) due WHERE due <= clock + wake_ahead) AND stored <> '{}' THEN
        PERFORM duly.wake('duly/work');
    END IF;
    IF cardinality(stored) = cardinality(ids) THEN
        stored := NULL;
    END IF;
END $$;

-- Write how attempts ended ("state + 0": see statements.sql). Raises DL001, so that nothing of it is written, if a lease is stale.
CREATE FUNCTION duly.settle(
    at bigint, holder bigint, seat integer, refs bigint[], tokens bigint[], kinds integer[], starts bigint[],
    ends bigint[], dues bigint[], results bytea[], errors bytea[], progresses bytea[], logs bytea[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    written bigint;
    total bigint;
BEGIN
    UPDATE duly.jobs j SET state = o.kind, started = nullif(o.start, 0), finished = o.finish, result = o.result,
        error = o.error, progress = coalesce(o.progress, j.progress), log = o.log
    FROM unnest(refs, tokens, kinds, starts, ends, results, errors, progresses, logs)
        o(ref, token, kind, start, finish, result, error, progress, log)
    WHERE o.kind <= 5 AND j.seq = o.ref AND j.token = o.token AND j.state + 0 = 1;
    GET DIAGNOSTICS total = ROW_COUNT;
    IF total < cardinality(refs) THEN  -- some are to run again
        WITH again AS (
            UPDATE duly.jobs j SET state = CASE j.cancel WHEN 0 THEN 0 ELSE 4 END,
                finished = CASE j.cancel WHEN 0 THEN NULL ELSE o.finish END, due = o.due,
                retries = j.retries + (o.kind = 6)::integer, error = o.error,
                progress = coalesce(o.progress, j.progress), started = NULL, log = NULL
            FROM unnest(refs, tokens, kinds, starts, ends, dues, errors, progresses, logs)
                o(ref, token, kind, start, finish, due, error, progress, log)
            WHERE o.kind IN (6, 9) AND j.seq = o.ref AND j.token = o.token AND j.state + 0 = 1
            RETURNING j.seq, j.attempt, o.kind, o.start, o.finish, o.error, o.log
        )
        INSERT INTO duly.attempts (job, attempt, outcome, worker, slot, started, finished, error, log)
        SELECT seq, attempt, kind, holder, seat, start, finish, error, log FROM again;
        GET DIAGNOSTICS written = ROW_COUNT;
        total := total + written;
        UPDATE duly.jobs j SET state = CASE j.cancel WHEN 0 THEN 0 ELSE 4 END,
            finished = CASE j.cancel WHEN 0 THEN NULL ELSE at END, attempt = j.attempt - 1, started = NULL, log = NULL
        FROM unnest(refs, tokens, kinds) o(ref, token, kind)
        WHERE o.kind = 7 AND j.seq = o.ref AND j.token = o.token AND j.state + 0 = 1;
        GET DIAGNOSTICS written = ROW_COUNT;
        IF total + written < cardinality(refs) THEN
            RAISE EXCEPTION 'duly: a lease is stale' USING ERRCODE = 'DL001';
        END IF;
    END IF;
END $$;

-- Add to the statistics.
CREATE FUNCTION duly.roll(
    holder bigint, seat integer, minutes bigint[], queues text[], tasks text[], outcomes text[], measures text[],
    buckets integer[], counts bigint[], totals bigint[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO duly.rollup AS r (minute, queue, task, outcome, measure, bucket, n, total, shard)
    SELECT a.*, (holder * 7 + seat) % 16
    FROM unnest(minutes, queues, tasks, outcomes, measures, buckets, counts, totals) a
    ORDER BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (minute, queue, task, outcome, measure, bucket, shard)
        DO UPDATE SET n = r.n + excluded.n, total = r.total + excluded.total;
END $$;

-- The due jobs of some queues, in turns: those of each by priority, due and age. Locked; what others have locked is left.
CREATE FUNCTION duly.due(at bigint, turns text[], want integer)
RETURNS TABLE (seq bigint, expires bigint, flags integer, task text) LANGUAGE plpgsql ROWS 100 AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT j.seq, j.expires, j.flags, j.task
    FROM (
        SELECT t.queue, array_agg(t.spot ORDER BY t.spot) AS spots
        FROM unnest(turns) WITH ORDINALITY t(queue, spot) GROUP BY t.queue
    ) q
    CROSS JOIN LATERAL (
        SELECT found.*, row_number() OVER () - 1 AS n
        FROM (
            SELECT level.*
            FROM generate_series(9, 0, -1) p
            CROSS JOIN LATERAL (
                SELECT jobs.seq, jobs.expires, jobs.flags, jobs.task FROM duly.jobs
                WHERE state = 0 AND lane IS NULL AND jobs.queue = q.queue AND priority = p AND due <= at
                ORDER BY due, jobs.seq LIMIT want FOR UPDATE SKIP LOCKED
            ) level
            LIMIT want
        ) found
    ) j
    ORDER BY j.n / cardinality(q.spots), q.spots[j.n % cardinality(q.spots) + 1]
    LIMIT want;
END $$;

-- Note the token of an exchange that changes something, in the place of the seat's last one. Raises DL001 if that is not
-- the one the caller knows: an answer was lost, or this is a request that was given up and comes late.
CREATE FUNCTION duly.sit(holder bigint, seat integer, last_token bigint, new_token bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF last_token IS NULL THEN
        INSERT INTO duly.seats (worker, slot, token) VALUES (holder, seat, new_token) ON CONFLICT DO NOTHING;
    ELSE
        UPDATE duly.seats SET token = new_token WHERE worker = holder AND slot = seat AND token = last_token;
    END IF;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'duly: another exchange of this seat came in between' USING ERRCODE = 'DL001';
    END IF;
END $$;

-- Settle and reserve: the hot path, for jobs that no limit concerns (`rules_known` is the version of the limits that the caller
-- knows, `limited` the tasks that have one; the caller does not ask for limited queues).
-- Gives the reserved jobs, each with its place in the order to run them, and as the last row, with a status, what else there is to
-- say, as JSON: the clock; rules, if the caller has to read them again, nothing having been done; expired, more: see running.Reserved.
-- What concerns outcomes may be NULL. `hasty`: what reserves, and does nothing else, does not wait for the disk, unless it brings an at-most-once job (flag 1).
-- Raises DL001, with nothing done, where a stale lease, a gate, another exchange of the seat, or a job that a limit or the overlap
-- of a schedule (flags 4 and 8) concerns asks for the long way: one that is due, was counted, or waits in a lane that has opened.
CREATE FUNCTION duly.exchange(
    at bigint, holder bigint, seat integer, last_token bigint, new_token bigint, rules_known bigint,
    refs bigint[], tokens bigint[], kinds integer[], starts bigint[], ends bigint[], dues bigint[], results bytea[],
    errors bytea[], progresses bytea[], logs bytea[],
    minutes bigint[], roll_queues text[], roll_tasks text[], outcomes text[], measures text[], buckets integer[],
    counts bigint[], totals bigint[],
    want integer, turns text[], notify_work boolean, limited text[], hasty boolean
) RETURNS TABLE (
    status text, place bigint, token bigint, seq bigint, id text, task text, args bytea, queue text, priority smallint, due bigint,
    expires bigint, attempt integer, retries integer, lost integer, flags integer, headers bytea, options bytea
) LANGUAGE plpgsql ROWS 100
-- Whatever the statistics of the table said when a plan was made: by the indexes. (They say nothing of a table that has just
-- been filled, and plans are kept.)
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
    clock bigint := coalesce(at, duly.clock());
    settles boolean := coalesce(cardinality(refs), 0) > 0;
    picked bigint[];
    overdue bigint[];
    asks_for_more boolean;  -- a due job counts in a gate, or may be held back
    once_only boolean;  -- a due job is at-most-once
    got integer := 0;
    aside integer := 0;
BEGIN
    IF (SELECT rules FROM duly.meta) <> rules_known THEN
        RETURN QUERY SELECT json_build_object('clock', clock, 'rules', true)::text, NULL::bigint, NULL::bigint,
            NULL::bigint, NULL::text, NULL::text, NULL::bytea, NULL::text, NULL::smallint, NULL::bigint, NULL::bigint,
            NULL::integer, NULL::integer, NULL::integer, NULL::integer, NULL::bytea, NULL::bytea;
        RETURN;
    END IF;
    IF want > 0 AND EXISTS (SELECT FROM duly.lanes WHERE opens <= clock)
        OR EXISTS (SELECT FROM duly.holding) AND EXISTS (SELECT FROM duly.holding h WHERE h.job = ANY (refs)) THEN
        RAISE EXCEPTION 'duly: a lane opens' USING ERRCODE = 'DL001';
    END IF;
    IF settles THEN
        PERFORM duly.sit(holder, seat, last_token, new_token);
        PERFORM duly.settle(clock, holder, seat, refs, tokens, kinds, starts, ends, dues, results, errors, progresses,
            logs);
        PERFORM duly.roll(holder, seat, minutes, roll_queues, roll_tasks, outcomes, measures, buckets, counts, totals);
        PERFORM duly.wake('duly/results');
        IF notify_work THEN
            PERFORM duly.wake('duly/work');
        END IF;
    END IF;
    IF want > 0 AND EXISTS (SELECT FROM duly.workers w WHERE w.id = holder AND w.state = 0) THEN
        LOOP
            SELECT array_agg(d.seq ORDER BY d.n) FILTER (WHERE d.expires IS NULL OR d.expires > clock),
                array_agg(d.seq) FILTER (WHERE d.expires <= clock),
                bool_or(d.expires <= clock AND d.flags & 64 > 0 OR d.flags & 12 > 0 OR d.task = ANY (limited)),
                bool_or(d.flags & 1 > 0)
            INTO picked, overdue, asks_for_more, once_only
            FROM (SELECT f.*, row_number() OVER () AS n FROM duly.due(clock, turns, want - got) f) d;
            EXIT WHEN picked IS NULL AND overdue IS NULL;
            hasty := hasty AND NOT once_only AND overdue IS NULL;
            IF asks_for_more THEN
                RAISE EXCEPTION 'duly: a due job has to be looked at' USING ERRCODE = 'DL001';
            END IF;
            RETURN QUERY
                UPDATE duly.jobs j SET state = 1, worker = holder, slot = seat, token = new_token, attempt = j.attempt + 1,
                    started = clock
                FROM unnest(picked) WITH ORDINALITY p(seq, n) WHERE j.seq = p.seq
                RETURNING NULL::text, got + p.n, new_token, j.seq, j.id, j.task, j.args, j.queue, j.priority, j.due,
                    j.expires, j.attempt, j.retries, j.lost, j.flags, j.headers, j.options;
            got := got + coalesce(cardinality(picked), 0);
            EXIT WHEN overdue IS NULL;
            PERFORM duly.expire(clock, overdue);
            aside := aside + cardinality(overdue);
            EXIT WHEN got >= want OR aside >= 500;
        END LOOP;
        IF aside > 0 THEN
            PERFORM duly.wake('duly/results');
        END IF;
    END IF;
    IF got > 0 AND NOT settles THEN
        PERFORM duly.sit(holder, seat, last_token, new_token);
        IF hasty THEN  -- in the store's memory now, on its disk in a moment
            PERFORM set_config('synchronous_commit', 'off', true);
        END IF;
    END IF;
    RETURN QUERY SELECT json_build_object('clock', clock, 'more', got = 0 AND aside >= 500)::text, NULL::bigint,
        NULL::bigint, NULL::bigint, NULL::text, NULL::text, NULL::bytea, NULL::text, NULL::smallint, NULL::bigint, NULL::bigint,
        NULL::integer, NULL::integer, NULL::integer, NULL::integer, NULL::bytea, NULL::bytea;
END $$;

-- End waiting jobs that may not start any more.
CREATE FUNCTION duly.expire(at bigint, overdue bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE duly.jobs SET state = 4, finished = at,
        error = '{"type":"JobCancelled","message":"expired before it could start","module":"duly.errors"}'
    WHERE seq = ANY (overdue);
END $$;
