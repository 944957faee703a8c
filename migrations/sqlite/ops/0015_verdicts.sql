-- A list of the deliveries of a source with some verdict costs what it shows, however rare that verdict is.

CREATE INDEX delivery_source_verdict ON delivery (source, verdict, id);
