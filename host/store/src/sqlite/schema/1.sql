-- Schema 1. Never change a file of this directory once it has been released: add the next one.

CREATE TABLE tenant (
    id       INTEGER PRIMARY KEY,
    name     TEXT    NOT NULL UNIQUE,
    last_seq INTEGER NOT NULL DEFAULT 0   -- the journal's last number
) STRICT;

-- One row for each admission: events (their bodies in `block`), then marks. Rows stay small so that walks over them are fast.
CREATE TABLE admission (
    id        INTEGER PRIMARY KEY,
    tenant    INTEGER NOT NULL REFERENCES tenant (id),
    first_seq INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL,
    log       TEXT    NOT NULL,
    events    INTEGER NOT NULL,
    t_min     INTEGER,                    -- order times, ms; null without events
    t_max     INTEGER,
    marks     TEXT,                       -- JSON; null without marks
    UNIQUE (tenant, last_seq)
) STRICT;

CREATE INDEX admission_by_time ON admission (tenant, t_max) WHERE events > 0;

-- The bodies of one admission's events, zstd.
CREATE TABLE block (
    admission INTEGER PRIMARY KEY REFERENCES admission (id) ON DELETE CASCADE,
    size      INTEGER NOT NULL,           -- bytes before compression
    crc32     INTEGER NOT NULL,           -- of the body as stored
    body      BLOB    NOT NULL
) STRICT;

-- Ids of events that the journal holds: the first 16 bytes of blake3(log, 0, event id).
CREATE TABLE seen (
    tenant INTEGER NOT NULL REFERENCES tenant (id),
    id     BLOB    NOT NULL,
    time   INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE cursor (
    tenant INTEGER NOT NULL REFERENCES tenant (id),
    log    TEXT    NOT NULL,
    cursor TEXT    NOT NULL,
    PRIMARY KEY (tenant, log)
) STRICT;

CREATE TABLE rule (
    id            INTEGER PRIMARY KEY,
    tenant        INTEGER NOT NULL REFERENCES tenant (id),
    rule          TEXT    NOT NULL,
    state_version INTEGER NOT NULL,
    seq           INTEGER NOT NULL,
    released_time INTEGER NOT NULL,
    released_log  TEXT    NOT NULL,
    released_id   TEXT    NOT NULL,
    clock         INTEGER,
    standing      TEXT    NOT NULL,       -- JSON
    UNIQUE (tenant, rule, state_version)
) STRICT;

CREATE TABLE state (
    rule       INTEGER NOT NULL REFERENCES rule (id) ON DELETE CASCADE,
    key        BLOB    NOT NULL,
    value      BLOB    NOT NULL,
    expires_at INTEGER NOT NULL,
    UNIQUE (rule, key)
) STRICT;

CREATE INDEX state_by_expiry ON state (rule, expires_at);

CREATE TABLE timer (
    rule INTEGER NOT NULL REFERENCES rule (id) ON DELETE CASCADE,
    key  BLOB    NOT NULL,
    at   INTEGER NOT NULL,
    PRIMARY KEY (rule, key)
) STRICT, WITHOUT ROWID;

-- Alerts; `number` is their place in the outbox.
CREATE TABLE alert (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant      INTEGER NOT NULL REFERENCES tenant (id),
    id          TEXT    NOT NULL,
    rule        TEXT    NOT NULL,
    severity    TEXT    NOT NULL,
    time        INTEGER NOT NULL,
    raised      INTEGER NOT NULL,
    dedup_key   TEXT    NOT NULL,
    dedup_until INTEGER NOT NULL,
    about       TEXT    NOT NULL,
    json        TEXT    NOT NULL,
    repeats     INTEGER NOT NULL,
    last_repeat INTEGER,
    UNIQUE (tenant, id)
) STRICT;

CREATE INDEX alert_by_time ON alert (tenant, time);
CREATE INDEX alert_by_dedup ON alert (tenant, dedup_until);

-- How far each sink has come in the outbox.
CREATE TABLE delivered (
    sink   TEXT    PRIMARY KEY,
    number INTEGER NOT NULL
) STRICT;

CREATE TABLE note (
    tenant TEXT NOT NULL,
    name   TEXT NOT NULL,
    value  TEXT NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT;
