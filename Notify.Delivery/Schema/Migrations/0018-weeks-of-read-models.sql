-- Read models that retention drops by week, and how far back their rows are gone. The writer of a read model locks the row, so that it
-- never writes a row of a week that was dropped. Null: none was dropped.
create table if not exists notify.retention_limits (
    table_name     text primary key,
    dropped_before timestamptz
);
insert into notify.retention_limits (table_name)
values ('analytics.deliveries'), ('analytics.engagement'), ('events.mt_doc_notificationview') on conflict do nothing;

-- Whether a host can write read models that are partitioned by week: they are partitioned when every live Projections host can.
alter table notify.host_keys add column if not exists writes_weeks boolean not null default false;

-- The table of notification views, in the form in which Marten made it until now. It is written by NotificationViewTable, and Marten only
-- reads it: partitioned or not.
create table if not exists events.mt_doc_notificationview (
    id               varchar     not null,
    data             jsonb       not null,
    mt_last_modified timestamptz default transaction_timestamp(),
    mt_dotnet_type   varchar,
    mt_version       bigint      not null default 0,
    client_id        varchar,
    user_id          varchar,
    requested_at     timestamptz,
    status           varchar,
    constraint pkey_mt_doc_notificationview_id primary key (id)
);
create index if not exists mt_doc_notificationview_idx_client_id on events.mt_doc_notificationview (client_id);
create index if not exists mt_doc_notificationview_idx_user_id on events.mt_doc_notificationview (user_id);
create index if not exists mt_doc_notificationview_idx_requested_at on events.mt_doc_notificationview (requested_at);
create index if not exists mt_doc_notificationview_idx_status on events.mt_doc_notificationview (status);
