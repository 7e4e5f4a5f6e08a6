-- Schema 3: alerts about the past. Never change a file of this directory once released.

ALTER TABLE alert ADD COLUMN historic INTEGER NOT NULL DEFAULT 0;   -- 1: kept and listed, never delivered
ALTER TABLE alert ADD COLUMN segment  TEXT    NOT NULL DEFAULT '';  -- name of the segment whose dedup window it opened

-- What sinks are asked for: a long history before the first delivery is not walked again and again.
CREATE INDEX alert_to_send ON alert (number) WHERE historic = 0;
CREATE INDEX alert_by_segment ON alert (tenant, segment);
