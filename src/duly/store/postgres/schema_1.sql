-- The PostgreSQL store: tables and indexes, version 1; what is done with them in functions_1.sql. `duly.` stands for the
-- store's schema.
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
