-- Since when a peer stands as it does, for listings; unknown for those that were recorded before this.
ALTER TABLE peers ADD COLUMN since INTEGER;

-- Sums up the evidence without reading it: a retention by size is looked at every minute.
CREATE INDEX probes_by_size ON probes (seq, length(evidence));
