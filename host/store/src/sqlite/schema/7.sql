-- Schema 7: how a block's events stand one after the other. Never change a file of this directory once released.

ALTER TABLE block ADD COLUMN layout INTEGER NOT NULL DEFAULT 0;   -- 0: all ids, then all bodies; 1: each id, and its body behind it
