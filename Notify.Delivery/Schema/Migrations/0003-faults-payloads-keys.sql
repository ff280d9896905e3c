-- Streams that cannot be read, verifications, payloads and other rows with a retention, master keys, and secrets in use.

-- Streams that a host could not read: a newer version's event, or damaged data. Work on them is set aside; the alert and
-- operators read this. What was not met for a while is over.
create table if not exists notify.stream_faults (
    stream     text primary key,
    version    bigint      not null,
    event_type text        not null,
    cause      text        not null,
    first_at   timestamptz not null,
    last_at    timestamptz not null
);
create index if not exists stream_faults_last on notify.stream_faults (last_at);

-- Runs of verification, the newest thousand; at most one that a host runs by itself is under way. seen_at is the sign of life
-- of the host that runs it.
create table if not exists notify.verifications (
    id           bigint      generated always as identity primary key,
    is_automatic boolean     not null,
    since        bigint      not null,
    position     bigint,
    started_at   timestamptz not null,
    seen_at      timestamptz not null,
    ended_at     timestamptz,
    counts       jsonb,
    fault_count  bigint,
    faults       jsonb
);
create unique index if not exists verifications_running on notify.verifications (is_automatic) where is_automatic and ended_at is null;

-- Payloads, encrypted under the key of their subject: content, addresses and metadata of notifications and broadcasts. Their
-- streams hold the reference (stream, stored_at) with size and hash. Partitioned by week, so that retention drops a week at a
-- time; the default partition takes what no other one does.
create table if not exists notify.payloads (
    stream    text        not null,
    stored_at timestamptz not null,
    key_id    bigint      not null,
    sealed    bytea       not null,
    primary key (stream, stored_at)
) partition by range (stored_at);
alter table notify.payloads alter column sealed set storage external;
create table if not exists notify.payloads_default partition of notify.payloads default;

-- Where repeated hits are counted in notify.tracked_daily: its key, in the order of its columns. Written with the first hit, so
-- that a repeated one reads no stream.
alter table notify.tracked_hits add column if not exists daily text[];

-- The raw texts of receipts, sealed as notify.receipts.raw was: what retention may drop early. Partitioned by week, as payloads
-- are. notify.receipts.raw holds those of earlier versions.
create table if not exists notify.receipt_texts (
    provider    text        not null,
    event_id    text        not null,
    received_at timestamptz not null,
    raw         text        not null,
    primary key (provider, event_id, received_at)
) partition by range (received_at);
create table if not exists notify.receipt_texts_default partition of notify.receipt_texts default;

-- Makes partitions of weeks, from the week of a moment on. A week of which the default partition already holds rows stays there.
create or replace function notify.add_partitions(parent text, first timestamptz, weeks integer) returns integer language plpgsql as $$
declare
    week timestamptz := date_trunc('week', first at time zone 'UTC') at time zone 'UTC';
    name text;
    made integer := 0;
begin
    for i in 1 .. weeks loop
        name := parent || to_char(week at time zone 'UTC', '"_"YYYYMMDD');
        if to_regclass(name) is null then
            begin
                execute format('create table %s partition of %s for values from (%L) to (%L)', name, parent, week, week + interval '168 hours');
                made := made + 1;
            exception when check_violation then
                null;
            end;
        end if;
        week := week + interval '168 hours';
    end loop;
    return made;
end $$;

-- Where tracked links lead, by week of the request, so that retention drops a week at a time. notify.tracked_links holds those of
-- earlier versions.
create table if not exists notify.links (
    token        text        not null,
    delivery_id  uuid        not null,
    notification text        not null,
    number       integer     not null,
    destination  text        not null,
    requested_at timestamptz not null,
    primary key (token, requested_at)
) partition by range (requested_at);
create table if not exists notify.links_default partition of notify.links default;

select notify.add_partitions(parent, now(), 6) from unnest(array['notify.payloads', 'notify.receipt_texts', 'notify.links']) as parent;

-- The installation's master keys: a value to compare them by, and whether they wrap keys of subjects, or are about to. A host
-- starts only with every key in use.
create table if not exists notify.master_keys (
    id          text    primary key,
    check_value text,
    in_use      boolean not null default false
);
insert into notify.master_keys (id, in_use)
select distinct master_key, true from notify.subject_keys where wrapped is not null and not exists (select 1 from notify.master_keys)
on conflict do nothing;

-- The master keys that live hosts have: a key wraps only when all of them have it.
create table if not exists notify.host_keys (
    host    uuid        primary key,
    name    text        not null,
    keys    text[]      not null,
    wraps   text        not null,
    lacks   text[]      not null,
    seen_at timestamptz not null
);

-- When each client secret was last used, within some minutes. The row without a client tells since when uses are noted.
create table if not exists notify.secret_uses (
    client_id text        not null,
    secret_id text        not null,
    used_at   timestamptz not null,
    primary key (client_id, secret_id)
);
insert into notify.secret_uses (client_id, secret_id, used_at) values ('', '', now()) on conflict do nothing;

-- Idempotency keys of requests that make secrets. The answer is encrypted under the master key, and dropped after a day.
create table if not exists notify.idempotency_keys (
    id           text        primary key,
    request_hash text        not null,
    answer       bytea,
    master_key   text,
    taken_at     timestamptz not null
);
create index if not exists idempotency_keys_answers on notify.idempotency_keys (taken_at) where answer is not null;
