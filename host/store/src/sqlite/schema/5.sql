-- Schema 5: how much each rule remembers, without reading it. Never change a file of this directory once released.

ALTER TABLE rule ADD COLUMN next_timer INTEGER;                  -- ms: when the next timer is due
ALTER TABLE rule ADD COLUMN entries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rule ADD COLUMN timers  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rule ADD COLUMN bytes   INTEGER NOT NULL DEFAULT 0;  -- what counts towards the rule's quota

UPDATE rule SET
    next_timer = (SELECT min(at) FROM timer WHERE timer.rule = rule.id),
    entries = (SELECT count(*) FROM state WHERE state.rule = rule.id),
    timers = (SELECT count(*) FROM timer WHERE timer.rule = rule.id),
    bytes = (SELECT coalesce(sum(length(key) + length(value) + 224), 0) FROM state WHERE state.rule = rule.id)
        + (SELECT coalesce(sum(length(key) + 144), 0) FROM timer WHERE timer.rule = rule.id);
