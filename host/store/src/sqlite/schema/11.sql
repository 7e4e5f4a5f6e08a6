-- Schema 11: how sinks stand with the outbox, incidents, and how often rules alert. Never change a file of this directory once
-- released.

ALTER TABLE alert ADD COLUMN incident   TEXT;                           -- id of the incident's first alert; null: of none
ALTER TABLE alert ADD COLUMN page       INTEGER NOT NULL DEFAULT 0;     -- 1: first of its incident, or worse than all before
ALTER TABLE alert ADD COLUMN principals TEXT;                           -- JSON: by what others join the incident
ALTER TABLE alert ADD COLUMN nth        INTEGER NOT NULL DEFAULT 1;     -- of its rule's alerts that were raised in this hour
ALTER TABLE alert ADD COLUMN summary    INTEGER NOT NULL DEFAULT 0;     -- 1: says how many were not sent; delivered, not listed

CREATE INDEX alert_by_incident ON alert (tenant, incident) WHERE incident IS NOT NULL;

-- How far each sink has come: everything up to `number` was delivered, was not meant for it, or waits in a lane.
CREATE TABLE sink (
    name     TEXT    PRIMARY KEY,
    number   INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,  -- failures in a row
    next_try INTEGER,                     -- wall clock, ms
    trouble  TEXT,                        -- the last, in words; null: all is well
    since    INTEGER,                     -- wall clock, ms: the first failure in a row
    disabled INTEGER NOT NULL DEFAULT 0   -- 1: the receiver wants nothing any more
) STRICT;

INSERT INTO sink (name, number) SELECT sink, number FROM delivered;
DROP TABLE delivered;

-- Tenants of whom a sink refuses an alert for now: behind the others, in order.
CREATE TABLE lane (
    sink     TEXT    NOT NULL REFERENCES sink (name) ON DELETE CASCADE,
    tenant   INTEGER NOT NULL REFERENCES tenant (id),
    number   INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    next_try INTEGER,
    trouble  TEXT,
    since    INTEGER,
    PRIMARY KEY (sink, tenant)
) STRICT, WITHOUT ROWID;

-- Alerts that a sink will not get unless somebody says so.
CREATE TABLE letter (
    sink   TEXT    NOT NULL,
    number INTEGER NOT NULL,              -- the alert's
    tenant INTEGER NOT NULL REFERENCES tenant (id),
    state  TEXT    NOT NULL,              -- dead, again, dropped
    reason TEXT    NOT NULL,              -- in words
    time   INTEGER NOT NULL,              -- wall clock, ms
    PRIMARY KEY (sink, number)
) STRICT, WITHOUT ROWID;

-- How many alerts of a rule were raised in an hour.
CREATE TABLE alert_rate (
    tenant INTEGER NOT NULL REFERENCES tenant (id),
    rule   TEXT    NOT NULL,
    hour   INTEGER NOT NULL,              -- wall clock, ms: its first moment
    total  INTEGER NOT NULL,
    told   INTEGER NOT NULL DEFAULT 0,    -- 1: a summary was written
    PRIMARY KEY (tenant, rule, hour)
) STRICT, WITHOUT ROWID;

-- One tenant's part of the outbox.
CREATE INDEX alert_to_send_of ON alert (tenant, number) WHERE historic = 0 AND shadow = 0 AND suppressed IS NULL;
