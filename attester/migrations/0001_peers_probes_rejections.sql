-- The number by which a state file is known as ours ("PeVe").
PRAGMA application_id = 1348818533;

-- Who was seen and what is thought of it now. Standing and lease are for listings: after a restart they are not
-- believed, but made again from the evidence of the probes.
CREATE TABLE peers (
    peer_id     TEXT    NOT NULL PRIMARY KEY,
    key         BLOB    NOT NULL, -- 32 bytes
    address     TEXT    NOT NULL, -- ip:port
    pin         BLOB    NOT NULL, -- 32 bytes
    protocols   TEXT    NOT NULL, -- separated by commas
    standing    TEXT    NOT NULL,
    reason      TEXT,             -- a code
    detail      TEXT    NOT NULL,
    first_seen  INTEGER NOT NULL, -- this and all times: microseconds since 1970
    last_seen   INTEGER NOT NULL,
    lease_until INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX peers_by_address ON peers (address);

-- One row a probe, in the order in which they were concluded.
CREATE TABLE probes (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    probe_id BLOB    NOT NULL UNIQUE, -- 16 bytes
    peer_id  TEXT    NOT NULL REFERENCES peers (peer_id) ON DELETE CASCADE,
    at       INTEGER NOT NULL,
    protocol TEXT    NOT NULL,
    path     TEXT    NOT NULL,
    body     INTEGER NOT NULL, -- bytes asked for
    outcome  TEXT    NOT NULL,
    reason   TEXT,             -- a code
    detail   TEXT    NOT NULL,
    phases   TEXT    NOT NULL, -- JSON: microseconds from the start to the end of each phase
    nonce    BLOB    NOT NULL UNIQUE, -- 32 bytes; one probe, one nonce, for ever
    evidence BLOB    NOT NULL
) STRICT;

CREATE INDEX probes_by_peer ON probes (peer_id, seq);
CREATE INDEX probes_by_time ON probes (at);

-- The last thousand refused registrations. A ring, because strangers decide how many there are.
CREATE TABLE rejections (
    slot    INTEGER PRIMARY KEY,     -- n modulo the size of the ring
    n       INTEGER NOT NULL UNIQUE, -- counts up
    at      INTEGER NOT NULL,
    source  TEXT    NOT NULL,        -- the address that the session came from
    peer_id TEXT,                    -- known when the registration could be read
    reason  TEXT    NOT NULL,
    detail  TEXT    NOT NULL
) STRICT;
