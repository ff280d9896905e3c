-- Work that migrate does once over all that is stored, and how far it has come: it goes on there after a break.
create table if not exists notify.maintenance (
    name     text        primary key,
    position text        not null,
    done_at  timestamptz
);
