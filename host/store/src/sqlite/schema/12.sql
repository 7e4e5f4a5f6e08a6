-- Schema 12: incidents, and alerts that others take the place of. Never change a file of this directory once released.

-- Nothing wrote it before.
ALTER TABLE alert DROP COLUMN principals;

ALTER TABLE alert ADD COLUMN principal         TEXT;      -- by what others join its incident; null: nothing does
ALTER TABLE alert ADD COLUMN incident_opened   INTEGER;   -- ms, event time of the alert that opened the incident
ALTER TABLE alert ADD COLUMN incident_severity TEXT;      -- the worst of the incident when this was raised
ALTER TABLE alert ADD COLUMN superseded_by     TEXT;      -- id of the alert that took its place

CREATE INDEX alert_by_about ON alert (tenant, about, time);

-- What outlives an incident's single alerts: retention may have taken the first, or the worst, when the next one comes.
CREATE TABLE incident (
    number   INTEGER PRIMARY KEY,
    tenant   INTEGER NOT NULL REFERENCES tenant (id),
    lane     TEXT    NOT NULL,            -- '': live; 'historic'; or the segment's name: nobody was told of these
    id       TEXT    NOT NULL,            -- of its first alert
    opened   INTEGER NOT NULL,            -- ms, event times: of its first alert
    first    INTEGER NOT NULL,            -- of its earliest
    last     INTEGER NOT NULL,            -- of its latest
    severity TEXT    NOT NULL,            -- the worst
    alerts   INTEGER NOT NULL,            -- how many there ever were
    pages    INTEGER NOT NULL,            -- of these, with page = 1
    UNIQUE (tenant, lane, id)
) STRICT;

CREATE INDEX incident_by_last ON incident (tenant, last);

-- From when to when an incident has alerts of a principal.
CREATE TABLE incident_principal (
    incident  INTEGER NOT NULL REFERENCES incident (number) ON DELETE CASCADE,
    tenant    INTEGER NOT NULL REFERENCES tenant (id),
    lane      TEXT    NOT NULL,
    principal TEXT    NOT NULL,
    first     INTEGER NOT NULL,           -- ms, event time
    last      INTEGER NOT NULL,
    PRIMARY KEY (incident, principal)
) STRICT, WITHOUT ROWID;

CREATE INDEX incident_principal_reach ON incident_principal (tenant, lane, principal, last);
