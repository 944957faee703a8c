-- A part that was not recorded stays open until the log takes an event of its id, or somebody dismisses its delivery.

ALTER TABLE part ADD COLUMN recorded_in TEXT;        -- the delivery in which the log took this id after all
ALTER TABLE delivery ADD COLUMN dismissed_at BIGINT;
ALTER TABLE delivery ADD COLUMN dismissed_by TEXT;   -- a user or service
ALTER TABLE delivery ADD COLUMN dismissed_because TEXT;

-- An index of the ids while what is kept already is gone through.
CREATE INDEX part_recorded ON part (event_id, delivery) WHERE outcome IN ('recorded', 'duplicate');
UPDATE part SET recorded_in = (
  SELECT min(later.delivery) FROM part AS later JOIN delivery ON delivery.id = later.delivery
  WHERE later.event_id = part.event_id AND later.outcome IN ('recorded', 'duplicate') AND later.delivery >= part.delivery
    AND delivery.source = (SELECT source FROM delivery WHERE id = part.delivery))
WHERE outcome IN ('quarantined', 'unrecorded');
DROP INDEX part_recorded;

CREATE INDEX part_open ON part (event_id) WHERE outcome IN ('quarantined', 'unrecorded') AND recorded_in IS NULL;
CREATE INDEX part_failed ON part (outcome, delivery) WHERE outcome IN ('quarantined', 'conflict', 'unrecorded');
