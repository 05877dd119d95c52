-- Moving to another store (moving.py). As in SQLite's moving.sql.

-- :name carried
-- What "view" leaves out of these jobs.
SELECT j.id, j.seq, NOT (j.after IS NOT NULL AND j.lane IS NOT DISTINCT FROM 'gate:' || j.after)
FROM unnest(?::text[]) i(value) JOIN duly.jobs j ON j.id = i.value

-- :name history_of
SELECT j.id, a.attempt, a.outcome, w.name || '@' || w.host, a.slot, a.started, a.finished, a.error, a.log
FROM unnest(?::text[]) i(value) JOIN duly.jobs j ON j.id = i.value JOIN duly.attempts a ON a.job = j.seq
    LEFT JOIN duly.workers w ON w.id = a.worker
ORDER BY a.n

-- :name effects_of
SELECT j.id, e.key, e.value FROM unnest(?::text[]) i(value) JOIN duly.jobs j ON j.id = i.value JOIN duly.effects e ON e.job = j.seq
ORDER BY e.key

-- :name memberships_of
SELECT j.id, m.gate, m.idx, m.counted
FROM unnest(?::text[]) i(value) JOIN duly.jobs j ON j.id = i.value JOIN duly.members m ON m.job = j.seq
ORDER BY m.gate, m.idx

-- :name occurrences_of
SELECT o.job, o.schedule, o.nominal, o.made FROM unnest(?::text[]) i(value) JOIN duly.occurrences o ON o.job = i.value

-- :name wanted_of
SELECT s.job, s.namespace, s.key, s.due FROM duly.synced s WHERE s.job = ANY (?::text[])

-- :name neighbours
-- The jobs that count in a gate with one of these, or wait at such a gate, or make up the gate they wait at.
WITH near(gate) AS (
    SELECT m.gate FROM duly.members m JOIN duly.jobs j ON j.seq = m.job WHERE j.id = ANY (:ids::text[])
    UNION SELECT after FROM duly.jobs WHERE id = ANY (:ids::text[]) AND after IS NOT NULL
)
SELECT j.id, j.state FROM near JOIN duly.members m ON m.gate = near.gate JOIN duly.jobs j ON j.seq = m.job
UNION SELECT j.id, j.state FROM near JOIN duly.jobs j ON j.after = near.gate

-- :name gates_of_ids
SELECT m.gate FROM duly.members m JOIN duly.jobs j ON j.seq = m.job WHERE j.id = ANY (:ids::text[])
UNION SELECT after FROM duly.jobs WHERE id = ANY (:ids::text[]) AND after IS NOT NULL

-- :name carry_in
INSERT INTO duly.jobs (id, task, args, queue, priority, due, expires, state, attempt, retries, lost, flags, headers, options,
    key, limit_key, lane, created, slot, started, finished, result, error, progress, log, after)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO NOTHING
RETURNING seq

-- :name carry_gate
INSERT INTO duly.gates (id, size, missing, failed, first_failed, finished) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING

-- :name carry_member
INSERT INTO duly.members (gate, idx, job, counted) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING

-- :name carry_occurrence
INSERT INTO duly.occurrences (schedule, nominal, job, made) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING

-- :name carry_wanted
INSERT INTO duly.synced (namespace, key, job, due) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING

-- :name in_transit
SELECT j.id FROM duly.transit t JOIN duly.jobs j ON j.seq = t.job LIMIT ?

-- :name seqs_in_transit
SELECT j.seq FROM unnest(?::text[]) i(value) JOIN duly.jobs j ON j.id = i.value JOIN duly.transit t ON t.job = j.seq

-- :name arrive
UPDATE duly.jobs SET lane = NULL WHERE lane = 'transit' AND seq = ANY (?::bigint[]) RETURNING due

-- :name seqs_of
SELECT seq FROM duly.jobs WHERE id = ANY (?::text[])

-- :name forget_wanted
DELETE FROM duly.synced WHERE job = ANY (?::text[])

-- :name put_moving
INSERT INTO duly.moving (place, since) VALUES (?, ?)

-- :name delete_moving
DELETE FROM duly.moving

-- :name any_live
SELECT 1 FROM duly.jobs WHERE state < 2 LIMIT 1

-- :name seal
UPDATE duly.moving SET sealed = ?

-- :name sealed
-- Whoever stores a job comes before or after a seal.
SELECT place FROM (SELECT place, sealed FROM duly.moving FOR SHARE) m WHERE sealed = 1

-- :name moving
SELECT place, since, sealed FROM duly.moving

-- :name delete_transit
DELETE FROM duly.transit WHERE job = ANY (?::bigint[])

-- :name put_transit
INSERT INTO duly.transit (job) VALUES (?)
