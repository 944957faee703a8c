-- What a sender signs of a notification, each in a column of its own, as it was read when the delivery arrived: it is known
-- also where its headers were erased since, or the source tells its sender by something else now. When what came before was
-- signed was not kept: it counts as of its arrival. Of a notification that came again each delivery says when it was sent
-- first, as what is kept of that may go earlier.

ALTER TABLE delivery ADD COLUMN digest TEXT;      -- of the body, hex
ALTER TABLE delivery ADD COLUMN signed_at BIGINT; -- by the sender's clock, microseconds
ALTER TABLE delivery ADD COLUMN first TEXT;       -- the delivery in which it came first; absent where that is this one
ALTER TABLE delivery ADD COLUMN first_received_at BIGINT;
ALTER TABLE delivery ADD COLUMN first_signed_at BIGINT;
ALTER TABLE delivery ADD COLUMN first_refused BOOLEAN;

UPDATE delivery
SET digest = substr(notification, instr(notification, char(10)) + 1),
    notification = substr(notification, 1, instr(notification, char(10)) - 1)
WHERE instr(notification, char(10)) > 0;
UPDATE delivery SET signed_at = received_at WHERE notification IS NOT NULL;

-- What was said again as it was known, without an id.
CREATE INDEX part_said_again ON part (subject, delivery) WHERE outcome = 'duplicate' AND event_id IS NULL;

DROP INDEX delivery_notification;

CREATE INDEX delivery_notification ON delivery (source, notification, digest, id) WHERE notification IS NOT NULL;
