-- Schema 8: alerts that an exception suppressed, who changed what, what judged when. Never change a file of this directory once
-- released.

ALTER TABLE alert ADD COLUMN suppressed TEXT;     -- the exception's name; null: none. Kept and listed apart, never delivered

DROP INDEX alert_to_send;
CREATE INDEX alert_to_send ON alert (number) WHERE historic = 0 AND shadow = 0 AND suppressed IS NULL;
CREATE INDEX alert_suppressed ON alert (tenant, suppressed) WHERE suppressed IS NOT NULL;

-- Who changed what: the latest entries, over all tenants.
CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    time   INTEGER NOT NULL,              -- wall clock, ms
    who    TEXT    NOT NULL,              -- an OS user
    how    TEXT    NOT NULL,              -- a verb, or `file`
    tenant TEXT    NOT NULL,              -- '': of all
    what   TEXT    NOT NULL,
    before TEXT,                          -- null: it was not there
    after  TEXT,                          -- null: it is gone
    reason TEXT    NOT NULL
) STRICT;

CREATE INDEX audit_by_time ON audit (time);

-- What a set of rules consists of, JSON; tenants and generations share it.
CREATE TABLE composition (
    hash TEXT PRIMARY KEY,
    json TEXT NOT NULL
) STRICT;

-- From when on which rules judged a tenant: one row for each change of what they consist of.
CREATE TABLE generation (
    tenant      TEXT    NOT NULL,
    number      INTEGER NOT NULL,
    since       INTEGER NOT NULL,         -- wall clock, ms
    composition TEXT    NOT NULL REFERENCES composition (hash),
    PRIMARY KEY (tenant, number, since)
) STRICT, WITHOUT ROWID;

CREATE INDEX generation_by_composition ON generation (composition);
