-- Gates: what counts the ends of its members, and holds jobs until then (gates.py).
--
-- Tables (made in statements.sql)
--   gates     left counts down to 0, which closes the count
--   members   one row a membership. counted: 0 has not ended (or is retried), 1 succeeded, 2 ended otherwise
--   jobs.after   the gate that a job is, or was, held at. Until the gate lets it go, its lane is 'gate:' and the gate's
--             id, which keeps it out of the index by which jobs are reserved; it stays so if the job ends before.
--
-- Indexes
--   jobs_parked (statements.sql)   which jobs are held here?
--   jobs_after    which jobs were? (retry, prune)
--   members_job   which gates does this job count in?
--   members_failed   which members of this gate have failed?

-- :name insert_canvas
-- As "insert", for a job that is held or a member.
INSERT INTO jobs (id, task, args, queue, priority, due, expires, flags, headers, options, key, limit_key, created,
    after, lane)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO NOTHING

-- :name put_gate
INSERT INTO gates (id, size, left, finished) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING

-- :name put_member
INSERT INTO members (gate, idx, job) SELECT ?, ?, seq FROM jobs WHERE id = ?

-- :name unknown_gates
SELECT value FROM json_each(:named) WHERE value NOT IN (SELECT id FROM gates)

-- :name closed_gates
SELECT gates.id, failed FROM json_each(?) JOIN gates ON gates.id = value WHERE left = 0

-- :name count_ended
-- Each end once, and only of jobs that have ended.
UPDATE members SET counted = CASE (SELECT state FROM jobs WHERE seq = job) WHEN 2 THEN 1 ELSE 2 END
WHERE job IN (SELECT value FROM json_each(?)) AND counted = 0
    AND coalesce((SELECT left > 0 FROM gates WHERE id = gate), 0) AND (SELECT state >= 2 FROM jobs WHERE seq = job)
RETURNING gate, job, counted

-- :name count_down
-- Of arrays of the same length: gate, how many ended, how many failed, seq of the first that failed or null.
UPDATE gates SET left = left - n, failed = failed + bad,
    first_failed = coalesce(first_failed, (SELECT jobs.id FROM jobs WHERE seq = first)),
    finished = CASE left WHEN n THEN :now END
FROM (
    SELECT g.value AS gate, e.value AS n, f.value AS bad, s.value AS first
    FROM json_each(:gates) g JOIN json_each(:ended) e USING (key) JOIN json_each(:failed) f USING (key)
        JOIN json_each(:first) s USING (key)
)
WHERE id = gate
RETURNING id, left, failed

-- :name release_held
-- Those without ON_FAILURE (kind 0), or those with it (16).
UPDATE jobs SET lane = NULL, flags = flags & ~32,
    due = max(:now, CASE WHEN flags & 32 THEN due + :now - created ELSE due END),
    expires = CASE WHEN flags & 32 THEN expires + :now - created ELSE expires END
WHERE state = 0 AND lane IN (SELECT 'gate:' || value FROM json_each(:gates)) AND flags & 16 = :kind
RETURNING due

-- :name fail_held
UPDATE jobs SET state = 3, finished = :now,
    error = coalesce((SELECT m.error FROM gates g JOIN jobs m ON m.id = g.first_failed WHERE g.id = jobs.after), :error)
WHERE state = 0 AND lane IN (SELECT 'gate:' || value FROM json_each(:gates)) AND flags & 16 = 0
RETURNING seq, flags

-- :name unwanted
SELECT seq FROM jobs
WHERE state = 0 AND lane IN (SELECT 'gate:' || value FROM json_each(?)) AND flags & 16

-- :name held_downstream
-- What is held at the gates that these jobs are members of.
SELECT j.seq FROM members m JOIN jobs j ON j.lane = 'gate:' || m.gate AND j.state = 0
WHERE m.job IN (SELECT value FROM json_each(?))

-- :name counted_members
-- The counted ends of these jobs in gates that have not opened.
SELECT m.gate, m.idx, m.job, m.counted, g.left = 0, g.first_failed IS (SELECT id FROM jobs WHERE seq = m.job)
FROM members m JOIN gates g ON g.id = m.gate
WHERE m.job IN (SELECT value FROM json_each(?)) AND m.counted > 0 AND (g.left > 0 OR g.failed > 0)

-- :name uncount
UPDATE members SET counted = 0 WHERE gate = ? AND idx = ?

-- :name count_up
UPDATE gates SET left = left + 1, failed = failed - ?, finished = NULL WHERE id = ?

-- :name next_failed
UPDATE gates SET first_failed = (
    SELECT j.id FROM members m INDEXED BY members_failed JOIN jobs j ON j.seq = m.job
    WHERE m.gate = gates.id AND m.counted = 2 ORDER BY m.idx LIMIT 1
)
WHERE id = ?

-- :name hold_again
-- Those that failed because this gate did: their lane says that they were never let go.
UPDATE jobs SET state = 0, finished = NULL, error = NULL, flags = flags & ~256
WHERE after = ? AND state = 3 AND lane = 'gate:' || after
RETURNING seq, flags

-- :name gate_of
-- The gate at which a job ended that it never let go, and how that stands.
SELECT g.left, g.failed, j.flags FROM jobs j JOIN gates g ON g.id = j.after
WHERE j.seq = ? AND j.lane = 'gate:' || j.after

-- :name hold
UPDATE jobs SET state = 0, finished = NULL, error = NULL, cancel = 0, flags = flags & ~256 WHERE seq = ?

-- :name replace
UPDATE jobs SET state = CASE cancel WHEN 0 THEN 0 ELSE 4 END, finished = CASE cancel WHEN 0 THEN NULL ELSE ? END,
    started = NULL, error = NULL, progress = NULL, log = NULL, retries = 0, lost = 0
WHERE seq = ? AND token = ? AND state = 1
RETURNING state

-- :name become
UPDATE jobs SET task = ?, args = ?, queue = ?, priority = ?, due = ?, expires = ?,
    flags = (flags & 64) | ?, headers = ?, options = ?, limit_key = ?, after = ?, lane = ?, created = ?
WHERE seq = ?

-- :name members
SELECT j.id, j.state, j.attempt, j.due, j.result, j.error, j.progress, j.lane
FROM members m JOIN jobs j ON j.seq = m.job WHERE m.gate = ? ORDER BY m.idx

-- :name gates
SELECT id, size, left, failed, first_failed, finished FROM gates WHERE id IN (SELECT value FROM json_each(?))

-- :name unneeded
-- Of these jobs, those whose results no held or live job still needs.
SELECT seq FROM jobs JOIN json_each(?) ON seq = value
WHERE flags & 64 = 0
    OR NOT EXISTS (SELECT 1 FROM members m JOIN jobs f ON f.after = m.gate WHERE m.job = jobs.seq AND f.state < 2)

-- :name gates_of_jobs
SELECT gate FROM members WHERE job IN (SELECT value FROM json_each(:jobs))
UNION SELECT after FROM jobs WHERE seq IN (SELECT value FROM json_each(:jobs)) AND after IS NOT NULL

-- :name delete_members
DELETE FROM members WHERE job IN (SELECT value FROM json_each(?))

-- :name delete_gates
DELETE FROM gates WHERE id IN (SELECT value FROM json_each(?))
    AND NOT EXISTS (SELECT 1 FROM members WHERE gate = gates.id)
    AND NOT EXISTS (SELECT 1 FROM jobs WHERE after = gates.id)
