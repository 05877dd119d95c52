-- Moving to another store (moving.py). Lists of ids and seqs are JSON arrays.

-- :name carried
-- What "view" leaves out of these jobs.
SELECT j.id, j.seq, NOT (j.after IS NOT NULL AND j.lane IS 'gate:' || j.after)
FROM json_each(?) i JOIN jobs j ON j.id = i.value

-- :name history_of
SELECT j.id, a.attempt, a.outcome, w.name || '@' || w.host, a.slot, a.started, a.finished, a.error, a.log
FROM json_each(?) i JOIN jobs j ON j.id = i.value JOIN attempts a ON a.job = j.seq
    LEFT JOIN workers w ON w.id = a.worker
ORDER BY a.rowid

-- :name effects_of
SELECT j.id, e.key, e.value FROM json_each(?) i JOIN jobs j ON j.id = i.value JOIN effects e ON e.job = j.seq
ORDER BY e.key

-- :name memberships_of
SELECT j.id, m.gate, m.idx, m.counted
FROM json_each(?) i JOIN jobs j ON j.id = i.value JOIN members m ON m.job = j.seq
ORDER BY m.gate, m.idx

-- :name occurrences_of
SELECT o.job, o.schedule, o.nominal, o.made FROM json_each(?) i JOIN occurrences o ON o.job = i.value

-- :name wanted_of
SELECT s.job, s.namespace, s.key, s.due FROM synced s WHERE s.job IN (SELECT value FROM json_each(?))

-- :name neighbours
-- The jobs that count in a gate with one of these, or wait at such a gate, or make up the gate they wait at.
WITH near(gate) AS (
    SELECT m.gate FROM members m JOIN jobs j ON j.seq = m.job WHERE j.id IN (SELECT value FROM json_each(:ids))
    UNION SELECT after FROM jobs WHERE id IN (SELECT value FROM json_each(:ids)) AND after IS NOT NULL
)
SELECT j.id, j.state FROM near JOIN members m ON m.gate = near.gate JOIN jobs j ON j.seq = m.job
UNION SELECT j.id, j.state FROM near JOIN jobs j ON j.after = near.gate

-- :name gates_of_ids
SELECT m.gate FROM members m JOIN jobs j ON j.seq = m.job WHERE j.id IN (SELECT value FROM json_each(:ids))
UNION SELECT after FROM jobs WHERE id IN (SELECT value FROM json_each(:ids)) AND after IS NOT NULL

-- :name carry_in
INSERT INTO jobs (id, task, args, queue, priority, due, expires, state, attempt, retries, lost, flags, headers, options,
    key, limit_key, lane, created, slot, started, finished, result, error, progress, log, after)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO NOTHING
RETURNING seq

-- :name carry_gate
INSERT INTO gates (id, size, left, failed, first_failed, finished) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING

-- :name carry_member
INSERT INTO members (gate, idx, job, counted) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING

-- :name carry_occurrence
INSERT INTO occurrences (schedule, nominal, job, made) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING

-- :name carry_wanted
INSERT INTO synced (namespace, key, job, due) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING

-- :name in_transit
SELECT j.id FROM transit t JOIN jobs j ON j.seq = t.job LIMIT ?

-- :name seqs_in_transit
SELECT j.seq FROM json_each(?) i JOIN jobs j ON j.id = i.value JOIN transit t ON t.job = j.seq

-- :name arrive
UPDATE jobs SET lane = NULL WHERE lane = 'transit' AND seq IN (SELECT value FROM json_each(?)) RETURNING due

-- :name seqs_of
SELECT seq FROM jobs WHERE id IN (SELECT value FROM json_each(?))

-- :name forget_wanted
DELETE FROM synced WHERE job IN (SELECT value FROM json_each(?))

-- :name put_moving
INSERT INTO moving (place, since) VALUES (?, ?)

-- :name delete_moving
DELETE FROM moving

-- :name any_live
SELECT 1 FROM jobs WHERE state < 2 LIMIT 1

-- :name seal
UPDATE moving SET sealed = ?

-- :name sealed
SELECT place FROM moving WHERE sealed

-- :name moving
SELECT place, since, sealed FROM moving

-- :name delete_transit
DELETE FROM transit WHERE job IN (SELECT value FROM json_each(?))

-- :name put_transit
INSERT INTO transit (job) VALUES (?)
