-- What may be kept of a source in quarantine is bounded: counted without reading bodies.

CREATE INDEX delivery_quarantine ON delivery (source, dismissed_at, bytes) WHERE verdict = 'quarantined';
