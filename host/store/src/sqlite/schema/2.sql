-- Schema 2: inventory, the latest state of each object of an account. Never change a file of this directory once released.

CREATE TABLE inventory (
    tenant  INTEGER NOT NULL REFERENCES tenant (id),
    kind    TEXT    NOT NULL,
    id      TEXT    NOT NULL,
    json    TEXT    NOT NULL,
    seen    INTEGER NOT NULL,             -- ms: the snapshot that gave it this form
    missing INTEGER,                      -- ms: the first snapshot in a row that lacks it; null: the latest has it
    PRIMARY KEY (tenant, kind, id)
) STRICT, WITHOUT ROWID;
