-- Gates: what counts the ends of its members, and holds jobs until then (sql/gates.py). The tables are in schema_1.sql.
-- As in SQLite's gates.sql; where a gate decides what becomes of a job, its row is locked first, so that a member that
-- ends at the same moment comes before or after.

-- :name insert_canvas
-- As "insert", for a job that is held or a member.
INSERT INTO duly.jobs (id, task, args, queue, priority, due, expires, flags, headers, options, key, limit_key, created,
    after, lane)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO NOTHING

-- :name put_gate
INSERT INTO duly.gates (id, size, missing, finished) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING

-- :name put_member
INSERT INTO duly.members (gate, idx, job) SELECT ?, ?::integer, seq FROM duly.jobs WHERE id = ?

-- :name unknown_gates
-- Those that are known stay until this transaction ends: who would delete one waits, and looks again.
WITH known AS MATERIALIZED (
    SELECT id FROM duly.gates WHERE id = ANY (:named::text[]) ORDER BY id FOR KEY SHARE
)
SELECT named FROM unnest(:named::text[]) named WHERE NOT EXISTS (SELECT FROM known WHERE id = named)

-- :name closed_gates
WITH locked AS MATERIALIZED (
    SELECT id, failed, missing FROM duly.gates WHERE id = ANY (?::text[]) ORDER BY id FOR NO KEY UPDATE
)
SELECT id, failed FROM locked WHERE missing = 0

-- :name count_ended
-- Each end once, and only of jobs that have ended.
UPDATE duly.members m SET counted = CASE j.state WHEN 2 THEN 1 ELSE 2 END
FROM duly.jobs j, duly.gates g
WHERE m.job = ANY (?::bigint[]) AND m.counted = 0 AND j.seq = m.job AND j.state >= 2 AND g.id = m.gate AND g.missing > 0
RETURNING m.gate, m.job, m.counted

-- :name count_down
-- Of arrays of the same length: gate, how many ended, how many failed, seq of the first that failed or null.
UPDATE duly.gates g SET missing = g.missing - o.n, failed = g.failed + o.bad,
    first_failed = coalesce(g.first_failed, (SELECT jobs.id FROM duly.jobs WHERE seq = o.first)),
    finished = CASE g.missing WHEN o.n THEN :now ELSE g.finished END
FROM (SELECT * FROM unnest(:gates::text[], :ended::bigint[], :failed::bigint[], :first::bigint[]) u(gate, n, bad, first)
    ORDER BY gate) o
WHERE g.id = o.gate
RETURNING g.id, g.missing, g.failed

-- :name release_held
-- Those without ON_FAILURE (kind 0), or those with it (16).
UPDATE duly.jobs SET lane = NULL, flags = flags & ~32,
    due = greatest(:now::bigint, CASE WHEN flags & 32 > 0 THEN due + :now::bigint - created ELSE due END),
    expires = CASE WHEN flags & 32 > 0 THEN expires + :now::bigint - created ELSE expires END
WHERE state = 0 AND lane IN (SELECT 'gate:' || gate FROM unnest(:gates::text[]) gate) AND flags & 16 = :kind
RETURNING due

-- :name fail_held
UPDATE duly.jobs SET state = 3, finished = :now,
    error = coalesce(
        (SELECT m.error FROM duly.gates g JOIN duly.jobs m ON m.id = g.first_failed WHERE g.id = jobs.after),
        :error::bytea)
WHERE state = 0 AND lane IN (SELECT 'gate:' || gate FROM unnest(:gates::text[]) gate) AND flags & 16 = 0
RETURNING seq, flags

-- :name unwanted
SELECT seq FROM duly.jobs
WHERE state = 0 AND lane IN (SELECT 'gate:' || gate FROM unnest(?::text[]) gate) AND flags & 16 > 0

-- :name held_downstream
-- What is held at the gates that these jobs are members of.
SELECT j.seq FROM duly.members m JOIN duly.jobs j ON j.lane = 'gate:' || m.gate AND j.state = 0
WHERE m.job = ANY (?::bigint[])

-- :name counted_members
-- The counted ends of these jobs in gates that have not opened.
SELECT m.gate, m.idx, m.job, m.counted, g.missing = 0,
    g.first_failed IS NOT DISTINCT FROM (SELECT id FROM duly.jobs WHERE seq = m.job)
FROM duly.members m JOIN duly.gates g ON g.id = m.gate
WHERE m.job = ANY (?::bigint[]) AND m.counted > 0 AND (g.missing > 0 OR g.failed > 0)
ORDER BY g.id FOR UPDATE OF g

-- :name uncount
UPDATE duly.members SET counted = 0 WHERE gate = ? AND idx = ?

-- :name count_up
UPDATE duly.gates SET missing = missing + 1, failed = failed - ?::boolean::integer, finished = NULL WHERE id = ?

-- :name next_failed
UPDATE duly.gates SET first_failed = (
    SELECT j.id FROM duly.members m JOIN duly.jobs j ON j.seq = m.job
    WHERE m.gate = gates.id AND m.counted = 2 ORDER BY m.idx LIMIT 1
)
WHERE id = ?

-- :name hold_again
-- Those that failed because this gate did: their lane says that they were never let go.
UPDATE duly.jobs SET state = 0, finished = NULL, error = NULL, flags = flags & ~256
WHERE after = ? AND state = 3 AND lane = 'gate:' || after
RETURNING seq, flags

-- :name gate_of
-- The gate at which a job ended that it never let go, and how that stands.
SELECT g.missing, g.failed, j.flags FROM duly.jobs j JOIN duly.gates g ON g.id = j.after
WHERE j.seq = ? AND j.lane = 'gate:' || j.after FOR UPDATE OF g

-- :name hold
UPDATE duly.jobs SET state = 0, finished = NULL, error = NULL, cancel = 0, flags = flags & ~256 WHERE seq = ?

-- :name replace
UPDATE duly.jobs SET state = CASE cancel WHEN 0 THEN 0 ELSE 4 END, finished = CASE cancel WHEN 0 THEN NULL ELSE ? END,
    started = NULL, error = NULL, progress = NULL, log = NULL, retries = 0, lost = 0
WHERE seq = ? AND token = ? AND state + 0 = 1
RETURNING state

-- :name become
UPDATE duly.jobs SET task = ?, args = ?, queue = ?, priority = ?, due = ?, expires = ?,
    flags = (flags & 64) | ?, headers = ?, options = ?, limit_key = ?, after = ?, lane = ?, created = ?
WHERE seq = ?

-- :name members
SELECT j.id, j.state, j.attempt, j.due, j.result, j.error, j.progress, j.lane
FROM duly.members m JOIN duly.jobs j ON j.seq = m.job WHERE m.gate = ? ORDER BY m.idx

-- :name gates
SELECT id, size, missing, failed, first_failed, finished FROM duly.gates WHERE id = ANY (?::text[])

-- :name unneeded
-- Of these jobs, those whose results no held or live job still needs.
SELECT seq FROM duly.jobs
WHERE seq = ANY (?::bigint[]) AND (flags & 64 = 0 OR NOT EXISTS (
    SELECT 1 FROM duly.members m JOIN duly.jobs f ON f.after = m.gate WHERE m.job = jobs.seq AND f.state < 2
))

-- :name gates_of_jobs
-- Locked, since they may go.
SELECT id FROM duly.gates WHERE id IN (
    SELECT gate FROM duly.members WHERE job = ANY (:jobs::bigint[])
    UNION SELECT after FROM duly.jobs WHERE seq = ANY (:jobs::bigint[]) AND after IS NOT NULL
)
ORDER BY id FOR UPDATE

-- :name delete_members
DELETE FROM duly.members WHERE job = ANY (?::bigint[])

-- :name delete_gates
DELETE FROM duly.gates WHERE id = ANY (?::text[])
    AND NOT EXISTS (SELECT 1 FROM duly.members WHERE gate = gates.id)
    AND NOT EXISTS (SELECT 1 FROM duly.jobs WHERE after = gates.id)
