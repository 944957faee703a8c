-- A notification is known by its signed id and the digest of its body, as `id` line feed `digest`: what comes again is found
-- without reading bodies. Also where it was refused: it counts as of then. Rows of before have the id alone.

DROP INDEX delivery_notification;

CREATE INDEX delivery_notification ON delivery (source, notification, id) WHERE notification IS NOT NULL;
