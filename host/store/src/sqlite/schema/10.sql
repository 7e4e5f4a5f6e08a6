-- Schema 10: how much is stored of what, and what retention looks for. Never change a file of this directory once released.

ALTER TABLE admission ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;  -- of its block, as stored
ALTER TABLE admission ADD COLUMN ids   INTEGER NOT NULL DEFAULT 1;  -- 0: `held` has its ids no longer; its block still does

UPDATE admission SET bytes = coalesce((SELECT length(body) FROM block WHERE block.admission = admission.id), 0)
WHERE events > 0;

-- The oldest of a log first; and, among those whose ids only their blocks have, those that reach a time.
CREATE INDEX admission_by_age ON admission (tenant, log, t_max) WHERE events > 0;
CREATE INDEX admission_unheld ON admission (tenant, log, t_max, t_min) WHERE events > 0 AND ids = 0;

-- How much the journal holds of each log, and how much it ever held.
CREATE TABLE volume (
    tenant   INTEGER NOT NULL REFERENCES tenant (id),
    log      TEXT    NOT NULL,
    events   INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,            -- of the blocks, as stored
    admitted INTEGER NOT NULL,            -- events, with those forgotten since schema 10
    PRIMARY KEY (tenant, log)
) STRICT, WITHOUT ROWID;

INSERT INTO volume (tenant, log, events, bytes, admitted)
SELECT tenant, log, sum(events), sum(bytes), sum(events) FROM admission WHERE events > 0 GROUP BY tenant, log;
