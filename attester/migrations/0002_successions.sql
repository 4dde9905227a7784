-- Identities that moved to a new key. What both keys signed is verified again whenever a row is read.
CREATE TABLE successions (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    old_peer TEXT    NOT NULL UNIQUE, -- an identity moves once
    new_peer TEXT    NOT NULL UNIQUE, -- and a key takes over one
    head     TEXT    NOT NULL,        -- the newest key of this row of moves
    at       INTEGER NOT NULL,        -- when it was learned of
    expires  INTEGER NOT NULL,        -- from when on no agent can present it any more
    by_old   BLOB    NOT NULL,        -- signed by the old key
    by_new   BLOB    NOT NULL         -- the same claim, signed by the new key
) STRICT;

CREATE INDEX successions_by_head ON successions (head, seq);
