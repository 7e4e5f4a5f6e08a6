-- Schema 9: versions of modules, and what became of each. Never change a file of this directory once released.

CREATE TABLE version (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    file   TEXT    NOT NULL,              -- relative to the rules directory
    digest TEXT    NOT NULL,              -- sha256:...
    state  TEXT    NOT NULL,              -- JSON
    since  INTEGER NOT NULL,              -- wall clock, ms: when it came into this state
    reason TEXT    NOT NULL,              -- in words
    rules  TEXT    NOT NULL,              -- JSON: [[id, version], ...]
    UNIQUE (file, digest)
) STRICT;

-- The steps on the way of each, and how each ended.
CREATE TABLE version_step (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    file    TEXT    NOT NULL,
    digest  TEXT    NOT NULL,
    time    INTEGER NOT NULL,             -- wall clock, ms
    step    TEXT    NOT NULL,
    outcome TEXT    NOT NULL,             -- JSON
    reason  TEXT    NOT NULL,             -- in words
    detail  TEXT                          -- JSON; what was compared
) STRICT;

CREATE INDEX version_step_of ON version_step (file, number);
