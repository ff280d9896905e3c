-- Users of a running broadcast whose notification could not be made with their chunk, since a row of theirs was locked or could not be
-- read: each is tried again by itself at due_at, and the row goes when the notification is made or the broadcast is withdrawn.
create table if not exists notify.broadcast_retries (
    key     text        not null,
    user_id text        not null,
    since   timestamptz not null,
    due_at  timestamptz not null,
    primary key (key, user_id)
);
