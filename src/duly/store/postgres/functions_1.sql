-- The PostgreSQL store: the functions of the hot path, version 1. The tables are in schema_1.sql. Each keeps its plans
-- from its first use in a session, with or without a pool in between, and no client prepares anything.

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

-- What an idle worker wants to know: the rules' version, and the earliest due of what waits or opening of a lane.
CREATE FUNCTION duly.next_due(turns text[], OUT version bigint, OUT due bigint, OUT clock bigint) LANGUAGE plpgsql
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
BEGIN
    SELECT (SELECT rules FROM duly.meta), least(
        (SELECT min(level.due) FROM unnest(turns) q CROSS JOIN generate_series(0, 9) p CROSS JOIN LATERAL (
            SELECT due FROM duly.jobs WHERE state = 0 AND lane IS NULL AND queue = q AND priority = p ORDER BY due LIMIT 1
        ) level),
        (SELECT min(opens) FROM duly.lanes WHERE opens IS NOT NULL)), duly.clock()
    INTO version, due, clock;
END $$;

-- Reserve the one job that is next, without waiting for the disk: what nearly always happens when somebody idle is woken, in
-- one statement, since the function duly.exchange takes longer than that. Gives one row, with nulls where nothing was done;
-- `look`, if duly.exchange may have something to do then: the rules have changed, a lane opens, or the job cannot be had so (it has
-- expired, is at-most-once, or a limit, a schedule or the seat concerns it).
CREATE FUNCTION duly.reserve_one(
    at bigint, holder bigint, seat integer, last_token bigint, new_token bigint, rules_known bigint, turns text[],
    limited text[]
) RETURNS TABLE (
    clock bigint, look boolean, token bigint, seq bigint, id text, task text, args bytea, queue text, priority smallint,
    due bigint, expires bigint, attempt integer, retries integer, lost integer, flags integer, headers bytea, options bytea
) LANGUAGE plpgsql ROWS 1
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
DECLARE
    instant bigint := coalesce(at, duly.clock());
BEGIN
    RETURN QUERY
    WITH head AS MATERIALIZED (
        -- What is first in a queue is looked at; where that is not due, another priority may be, and is not looked for here.
        SELECT level.seq, level.fits
        FROM unnest(turns) q CROSS JOIN LATERAL (
            SELECT priority, due FROM duly.jobs WHERE state = 0 AND lane IS NULL AND queue = q
            ORDER BY priority DESC, due, seq LIMIT 1
        ) first LEFT JOIN LATERAL (
            SELECT seq, due <= instant AND flags & 13 = 0 AND (expires IS NULL OR expires > instant)
                AND task <> ALL (limited) AS fits
            FROM duly.jobs WHERE first.due <= instant AND state = 0 AND lane IS NULL AND queue = q
            ORDER BY priority DESC, due, seq LIMIT 1 FOR UPDATE SKIP LOCKED
        ) level ON true
        WHERE first.due <= instant OR EXISTS (SELECT FROM duly.jobs
            WHERE state = 0 AND lane IS NULL AND queue = q AND priority < first.priority)
        LIMIT 1
    ), free AS MATERIALIZED (
        SELECT (SELECT rules FROM duly.meta) = rules_known AND NOT EXISTS (SELECT FROM duly.lanes WHERE opens <= instant) AS free
    ), sat AS (
        UPDATE duly.seats s SET token = new_token
        WHERE s.worker = holder AND s.slot = seat AND s.token = last_token AND (SELECT fits FROM head)
            AND (SELECT free FROM free) AND EXISTS (SELECT FROM duly.workers WHERE id = holder AND state = 0)
        RETURNING set_config('synchronous_commit', 'off', true)
    ), taken AS (
        UPDATE duly.jobs j SET state = 1, worker = holder, slot = seat, token = new_token, attempt = j.attempt + 1,
            started = instant
        FROM sat WHERE j.seq = (SELECT seq FROM head)
        RETURNING new_token, j.seq, j.id, j.task, j.args, j.queue, j.priority, j.due, j.expires, j.attempt, j.retries, j.lost,
            j.flags, j.headers, j.options
    )
    SELECT instant, NOT (SELECT free FROM free) OR EXISTS (SELECT FROM head), taken.*
    FROM (SELECT) always LEFT JOIN taken ON true;
END $$;

-- End waiting jobs that may not start any more.
CREATE FUNCTION duly.expire(at bigint, overdue bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE duly.jobs SET state = 4, finished = at,
        error = '{"type":"JobCancelled","message":"expired before it could start","module":"duly.errors"}'
    WHERE seq = ANY (overdue);
END $$;
