-- concurrently
-- The same by queue and client, so that due work is taken in turn (see DueDeliveries). What waits to be planned has no reason.
drop index concurrently if exists notify.open_deliveries_due_turn;
create index concurrently if not exists open_deliveries_due_turn on notify.open_deliveries
    (queue, (case when reason is null then 1 else 0 end), (substr(split_part(notification, ':', 1), 3) collate "C"), due_at)
    where due_at is not null;
