-- What a sender calls a notification, and signed: one that comes again is known by it, for as long as deliveries are kept.

ALTER TABLE delivery ADD COLUMN notification TEXT;

-- Of the last days only: what is older is not sent again.
UPDATE delivery SET notification = (SELECT value ->> 1 FROM json_each(headers) WHERE value ->> 0 = 'webhook-id')
WHERE received_at > (unixepoch() - 259200) * 1000000;

CREATE INDEX delivery_notification ON delivery (source, notification, id)
  WHERE notification IS NOT NULL AND verdict <> 'rejected';
