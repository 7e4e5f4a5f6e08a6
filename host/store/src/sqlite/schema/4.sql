-- Schema 4: which events the journal holds, as it grows. Never change a file of this directory once released.

-- Ids of events of one log, a row for each admission. Whoever asks whether an event is held knows its order time, so only rows
-- that reach it are looked at, and a new row is written behind the last. (Before, each id was a row of a tree in the order of
-- hashes, so that a page of events touched as many pages of the database.)
CREATE TABLE held (
    number INTEGER PRIMARY KEY,
    tenant INTEGER NOT NULL REFERENCES tenant (id),
    log    TEXT    NOT NULL,              -- '': of any log (taken over from schema 3, which did not say)
    t_min  INTEGER NOT NULL,              -- order times of its events, ms
    t_max  INTEGER NOT NULL,
    ids    BLOB    NOT NULL               -- sorted, 16 bytes each: the first of blake3(log, 0, event id)
) STRICT;

CREATE INDEX held_by_reach ON held (tenant, log, t_max, t_min);

INSERT INTO held (tenant, log, t_min, t_max, ids)
SELECT tenant, '', min(time), max(time), unhex(group_concat(hex(id), '' ORDER BY id))
FROM (SELECT tenant, time, id, (row_number() OVER (PARTITION BY tenant ORDER BY time) - 1) / 1000 AS part FROM seen)
GROUP BY tenant, part;

DROP TABLE seen;
