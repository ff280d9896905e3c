-- Tables of Notify's own, in the schema "notify". Step 1 of the migrations: its statements never change. Later
-- changes are numbered steps in the folder Migrations.
create schema if not exists notify;

-- The idempotency keys: one row per notification, permanently. Inserted in the transaction that starts the stream, so that
-- racing requests with one event ID wait for each other here and only the first succeeds.
create table if not exists notify.event_ids (
    key          text primary key,
    request_hash text not null
);

-- One row per delivery that has not ended: queues, claims, retries, deadlines and dead letters are counted
-- from it. Written in the transaction of its event. Columns that claiming changes are in no index.
create table if not exists notify.open_deliveries (
    delivery_id  uuid primary key,
    notification text        not null,
    queue        smallint    not null,
    state        smallint    not null,
    attempts     integer     not null default 0,
    enqueued_at  timestamptz not null,
    due_at       timestamptz,
    owner        uuid,
    claim        uuid,
    reason       text
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 5000);
create index if not exists open_deliveries_due on notify.open_deliveries (due_at) where due_at is not null;

-- By notification, and by the prefix of keys, for any collation of the database: a broadcast's are cancelled so.
create index if not exists open_deliveries_of on notify.open_deliveries (notification text_pattern_ops);
drop index if exists notify.open_deliveries_notification;

-- The client of a delivery, while it is in its queue or with a provider: the waiting clients of a queue, and their turns, are read
-- from this index alone. Claiming leaves the value as it is, so it still changes no index.
alter table notify.open_deliveries add column if not exists client text collate "C"
    generated always as (case when state in (0, 1, 6) then substr(split_part(notification, ':', 1), 3) end) stored;
create index if not exists open_deliveries_turn on notify.open_deliveries (queue, client, enqueued_at) where client is not null;

-- Live Dispatch hosts; deliveries that a stale host had claimed are recovered.
create table if not exists notify.dispatchers (
    id      uuid primary key,
    seen_at timestamptz not null
);

-- Api hosts that are alive: each grants its part of a client's accept limit.
create table if not exists notify.acceptors (
    id      uuid primary key,
    seen_at timestamptz not null
);

-- One row per subject's key, wrapped by the installation's master key. Erasing sets wrapped to null and leaves the row.
create table if not exists notify.subject_keys (
    id         bigint generated always as identity primary key,
    subject    text        not null,
    wrapped    bytea,
    master_key text        not null,
    created_at timestamptz not null,
    erased_at  timestamptz
);
create unique index if not exists subject_keys_current on notify.subject_keys (subject) where erased_at is null;

-- Which user a device belongs to now.
create table if not exists notify.devices (
    device_id text primary key,
    user_id   text not null
);
create index if not exists devices_user on notify.devices (user_id);
-- When it was last registered, also where that changed nothing: older reports of a provider about the token do not
-- count. Without it: the time in the user's stream.
alter table notify.devices add column if not exists registered_at timestamptz;

-- Counts of deliveries into and out of each queue, per host and ten seconds; kept for ten minutes, for rates.
create table if not exists notify.queue_activity (
    bucket     timestamptz not null,
    queue      smallint    not null,
    host       uuid        not null,
    enqueued   bigint      not null,
    dispatched bigint      not null,
    primary key (bucket, queue, host)
);

-- The delivery of a provider's message, where a repeat would reach the person twice: a message that was found
-- by asking must not be taken for another delivery with the same text.
create table if not exists notify.provider_messages (
    provider    text not null,
    message_id  text not null,
    delivery_id uuid not null,
    primary key (provider, message_id)
);

-- Which transport carries the messages; one row.
create table if not exists notify.transport (
    only_row boolean     primary key default true check (only_row),
    name     text        not null,
    since    timestamptz not null
);

-- Outcomes of provider calls, per host and short time bucket; kept for an hour, for alerts and GET /v1/providers. Counts and
-- providers' codes only, never a recipient. latencies counts calls by duration; see LatencyClasses.
create table if not exists notify.provider_calls (
    bucket    timestamptz not null,
    provider  text        not null,
    queue     smallint    not null,
    outcome   smallint    not null,
    reason    text        not null,
    host      uuid        not null,
    code      text,
    calls     bigint      not null,
    latencies bigint[]    not null,
    primary key (bucket, provider, queue, outcome, reason, host)
);

-- Which providers the Dispatch hosts carry, so that an idle one is seen too.
create table if not exists notify.carried_providers (
    provider text        not null,
    lane     smallint    not null,
    seen_at  timestamptz not null,
    primary key (provider, lane)
);
alter table notify.carried_providers add column if not exists position smallint not null default 0;
alter table notify.carried_providers add column if not exists weight double precision;

-- The state of each provider for all Dispatch hosts: its circuit, and its part of its weight. A host changes a row by
-- comparing the version, in the transaction of its event, so that a change that several hosts detect is written once.
create table if not exists notify.provider_states (
    provider      text             primary key,
    lane          smallint         not null,
    circuit       smallint         not null default 0,
    since         timestamptz      not null,
    until         timestamptz,
    reason        text,
    openings      integer          not null default 0,
    factor        double precision not null default 1,
    factor_since  timestamptz      not null,
    factor_reason text,
    paused_until  timestamptz,
    version       bigint           not null default 0
);

-- Alerts to developers: one row from the opening to the recovery. At most one is open per subject, whichever
-- host found it.
create table if not exists notify.troubles (
    id               uuid        primary key,
    subject          text        not null,
    kind             smallint    not null,
    provider         text,
    lane             smallint,
    priority         smallint,
    first_cause      text        not null,
    opened_at        timestamptz not null,
    first_failure_at timestamptz not null,
    last_failure_at  timestamptz not null,
    last_call_at     timestamptz,
    failures         bigint      not null,
    attempts         bigint      not null,
    counted_failures bigint      not null,
    counted_attempts bigint      not null,
    counted_to       timestamptz not null,
    recovered_at     timestamptz
);
create unique index if not exists troubles_open on notify.troubles (subject) where recovered_at is null;
create index if not exists troubles_opened on notify.troubles (opened_at desc, id);
create index if not exists troubles_recovered on notify.troubles (subject, recovered_at desc) where recovered_at is not null;

-- Alerts that are still to be posted to the webhook, written in the transaction of their alert and sent in this order per
-- alert. A host claims a row by moving due_at into the future; another host claims it again if the first one fails.
create table if not exists notify.alert_notices (
    id           text        primary key,
    number       bigint      generated always as identity,
    trouble      uuid        not null,
    type         text        not null,
    body         text        not null,
    created_at   timestamptz not null,
    due_at       timestamptz,
    attempts     integer     not null default 0,
    delivered_at timestamptz,
    last_error   text
);
create index if not exists alert_notices_due on notify.alert_notices (due_at) where delivered_at is null;

-- Which notification a delivery belongs to, where its provider sends receipts: written before the first call, so that a
-- receipt finds its notification however early or late it comes.
create table if not exists notify.delivery_streams (
    delivery_id  uuid primary key,
    notification text not null
);

-- Addresses that must not be used, by any person: identified by their keyed hash, the address itself only encrypted. One row
-- per address permanently, folded from its stream and written with it; a lifted_at means that it may be used again.
create table if not exists notify.suppressions (
    id            text        primary key,
    channel       smallint    not null,
    fingerprint   text        not null,
    reason        text        not null,
    source        text        not null,
    suppressed_by text        not null,
    since         timestamptz not null,
    expires_at    timestamptz,
    address       text,
    lifted_at     timestamptz
);
create index if not exists suppressions_since on notify.suppressions (since desc, id) where lifted_at is null;

-- The same by the provider's own ID, for receipts without ours. One request may have gone to several people under one ID:
-- such an ID identifies none of them.
alter table notify.provider_messages add column if not exists notification text;
alter table notify.provider_messages add column if not exists is_shared boolean not null default false;

-- A receipt ended the delivery while its provider was being called: the outcome of that call changes nothing.
alter table notify.open_deliveries add column if not exists has_ended boolean not null default false;

-- Receipts as providers posted them, each once, permanently: facts. raw is encrypted under the notification's subject's key, and
-- under the installation's own until the notification is known. due_at is when an early one is processed again.
create table if not exists notify.receipts (
    provider     text        not null,
    event_id     text        not null,
    received_at  timestamptz not null,
    modes        smallint    not null,
    what         text        not null,
    message_id   text,
    delivery_id  uuid,
    notification text,
    facts        jsonb       not null,
    raw          text        not null,
    due_at       timestamptz,
    primary key (provider, event_id)
);
create index if not exists receipts_notification on notify.receipts (notification, received_at) where notification is not null;
create index if not exists receipts_due on notify.receipts (due_at) where due_at is not null;

-- Subscribers of topics. The events are in the users' streams, so that no stream grows with a topic; written with them.
create table if not exists notify.topic_subscribers (
    topic   text collate "C" not null,
    user_id text collate "C" not null,
    since   timestamptz      not null,
    primary key (topic, user_id)
);
create index if not exists topic_subscribers_user on notify.topic_subscribers (user_id);

-- Broadcasts: state and progress. The host that makes a chunk has locked the row, and moves after_user in the
-- transaction that accepts the chunk's notifications. due_at is when the next chunk may be made.
create table if not exists notify.broadcasts (
    key          text        primary key,
    client       text        not null,
    request_hash text        not null,
    requested_at timestamptz not null,
    state        smallint    not null,
    send_at      timestamptz,
    expires_at   timestamptz,
    due_at       timestamptz,
    after_user   text        not null,
    expanded     bigint      not null,
    total        bigint,
    started_at   timestamptz,
    ended_at     timestamptz
);
create index if not exists broadcasts_due on notify.broadcasts (due_at) where due_at is not null;
create index if not exists broadcasts_client on notify.broadcasts (client, requested_at desc, key desc);

-- How many notifications of a category a person was given a place for, per channel and period that has a cap: taken counts
-- by window from first_window on, also windows to come. Locked last of all, in key order; removed a day after the last
-- window. person is a user, or the keyed hash of an address.
create table if not exists notify.cap_counts (
    person       text        not null,
    category     text        not null,
    channel      smallint    not null,
    per          smallint    not null,
    first_window bigint      not null,
    taken        integer[]   not null,
    ends_at      timestamptz not null,
    primary key (person, category, channel, per)
) with (fillfactor = 70);
create index if not exists cap_counts_ends on notify.cap_counts (ends_at);

-- People's preferences, from the same snapshots that planning reads; they have no other source than the events.
create or replace view notify.preferences as
select substr(r.id, 3) as user_id, split_part(c.key, '/', 1) as channel, nullif(split_part(c.key, '/', 2), '') as category,
       c.value::boolean as opt_in, (r.data -> 'since' ->> c.key)::timestamptz as since
from events.mt_doc_recipient r cross join lateral jsonb_each_text(r.data -> 'choices') as c;
comment on view notify.preferences is 'What registered users said they want to receive; what is absent follows the defaults. Erased users are not in it.';
comment on column notify.preferences.user_id is 'The user''s ID, as clients chose it';
comment on column notify.preferences.channel is 'push, sms or email';
comment on column notify.preferences.category is 'About which category; null: the channel as a whole. A category goes over the channel';
comment on column notify.preferences.opt_in is 'Whether they want to be reached so';
comment on column notify.preferences.since is 'When they said so';

-- Destinations of the tracked links of deliveries: written before the message is sent, and the only source of
-- destinations for /t/{token}. The destination is encrypted under the recipient's key.
create table if not exists notify.tracked_links (
    token        text    primary key,
    delivery_id  uuid    not null,
    notification text    not null,
    number       integer not null,
    destination  text    not null
);

-- Counts of followed links and opened emails (number -1), by people and, as far as it can be detected, by machines.
create table if not exists notify.tracked_hits (
    delivery_id uuid    not null,
    number      integer not null,
    people      bigint  not null,
    machines    bigint  not null,
    primary key (delivery_id, number)
);
alter table notify.tracked_hits add column if not exists last_at timestamptz;

-- The same added up, by the keys of analytics.daily: counts that no event contains. Each count uses one of a few slots, so that
-- people who open the same newsletter at the same time need not wait for each other.
create table if not exists notify.tracked_daily (
    day             date     not null,
    client_id       text     not null,
    channel         text     not null,
    category        text     not null,
    template        text     not null,
    provider        text     not null,
    mode            text     not null,
    slot            smallint not null,
    opened_again    bigint   not null,
    clicked_again   bigint   not null,
    machine_opens   bigint   not null,
    machine_clicks  bigint   not null,
    primary key (day, client_id, channel, category, template, provider, mode, slot)
) with (fillfactor = 70);

-- Open digests: at most one per client, category and person. A transaction that adds a notification, removes one or closes the
-- digest locks this row first; see DigestTable for the order. A row without a digest is only a lock.
create table if not exists notify.digests (
    client    text        not null,
    category  text        not null,
    person    text        not null,
    digest    text,
    closes_at timestamptz,
    members   integer     not null default 0,
    primary key (client, category, person)
);

-- Notifications that wait in digests, until these close: each in one digest, in the order of number. category and person are
-- those of the digest's row.
create table if not exists notify.digest_items (
    member   text collate "C" primary key,
    digest   text   not null,
    category text   not null,
    person   text   not null,
    number   bigint not null generated always as identity
);
create index if not exists digest_items_digest on notify.digest_items (digest);
