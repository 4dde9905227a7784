-- Who is behind a peer's address, so that what strangers leave behind is bounded for each: the IPv4 address, or the IPv6 /64.
-- Unknown for IPv6 peers that were recorded before this; they count by themselves.
ALTER TABLE peers ADD COLUMN holder TEXT;
UPDATE peers SET holder = substr(address, 1, instr(address, ':') - 1) WHERE address NOT LIKE '[%';

-- Where the newest key of a row of moves was when it was learned of.
ALTER TABLE successions ADD COLUMN holder TEXT;
UPDATE successions SET holder = (SELECT holder FROM peers WHERE peer_id = head);

-- Sums up the evidence of each peer without reading it.
DROP INDEX probes_by_size;
DROP INDEX probes_by_peer;
CREATE INDEX probes_by_peer ON probes (peer_id, seq, length(evidence));
