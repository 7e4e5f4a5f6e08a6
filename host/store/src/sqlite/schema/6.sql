-- Schema 6: rules in shadow, rows that rules fail on, what is forgotten. Never change a file of this directory once released.

ALTER TABLE alert ADD COLUMN shadow INTEGER NOT NULL DEFAULT 0;     -- 1: kept and listed apart, never delivered

DROP INDEX alert_to_send;
CREATE INDEX alert_to_send ON alert (number) WHERE historic = 0 AND shadow = 0;
CREATE INDEX alert_in_shadow ON alert (tenant, rule) WHERE shadow = 1;

-- Rows that a rule fails on alone, the latest of each rule.
CREATE TABLE poison (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant INTEGER NOT NULL REFERENCES tenant (id),
    rule   TEXT    NOT NULL,
    log    TEXT    NOT NULL,
    event  TEXT    NOT NULL,              -- its id
    code   TEXT    NOT NULL,
    reason TEXT    NOT NULL,
    time   INTEGER NOT NULL,              -- wall clock, ms: when it last failed
    fate   TEXT    NOT NULL,              -- JSON
    UNIQUE (tenant, rule, log, event)
) STRICT;

-- How much of each log is gone: the greatest number and order time (ms) of an event.
CREATE TABLE forgotten (
    tenant INTEGER NOT NULL REFERENCES tenant (id),
    log    TEXT    NOT NULL,
    seq    INTEGER NOT NULL,
    time   INTEGER NOT NULL,
    PRIMARY KEY (tenant, log)
) STRICT, WITHOUT ROWID;
