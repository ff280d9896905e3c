-- The powers of hosts in the database: run at the end of every migration, by the owner of the schemas. Nothing in it changes when it
-- runs again. A host has what it needs, and no more: it adds events, and can neither change nor delete one.

-- Partitions are made and dropped by the owner alone: a host asks for them through these two functions, for these three tables.
create or replace function notify.add_partitions(parent text, first timestamptz, weeks integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    week timestamptz := date_trunc('week', first at time zone 'UTC') at time zone 'UTC';
    name text;
    made integer := 0;
begin
    if parent not in ('notify.payloads', 'notify.receipt_texts', 'notify.links') then
        raise exception '% is not partitioned by week', parent using errcode = 'insufficient_privilege';
    end if;
    for i in 1 .. weeks loop
        name := parent || to_char(week at time zone 'UTC', '"_"YYYYMMDD');
        if to_regclass(name) is null then
            begin
                execute format(
                    'create table %s partition of %s for values from (%L) to (%L)', name, parent, week, week + interval '168 hours');
                if exists (select from pg_roles where rolname = 'notify_projections') then
                    execute format('grant select on %s to notify_projections', name); -- it looks whether something open refers to a week
                end if;
                made := made + 1;
            exception when check_violation then
                null;
            end;
        end if;
        week := week + interval '168 hours';
    end loop;
    return made;
end $$;

create or replace function notify.drop_partition(partition text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not exists (
        select from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where c.oid = to_regclass(partition) and c.relname ~ '_[0-9]{8}$'
          and i.inhparent in ('notify.payloads'::regclass, 'notify.receipt_texts'::regclass, 'notify.links'::regclass)) then
        raise exception '% is no week of a partitioned table', partition using errcode = 'insufficient_privilege';
    end if;
    execute format('drop table %s', to_regclass(partition));
end $$;

do $$
declare
    hosts constant text[] := array['notify_api', 'notify_dispatch', 'notify_projections'];
    stores constant text[] := array['api_messages', 'dispatch_messages', 'projections_messages'];
    host text;
    item record;
begin
    revoke execute on function notify.add_partitions(text, timestamptz, integer), notify.drop_partition(text) from public;

    foreach host in array hosts loop
        if not exists (select from pg_roles where rolname = host) then
            begin
                execute format('create role %I nologin', host);
            exception
                when insufficient_privilege then return; -- the migration says so
                when duplicate_object or unique_violation then null;
            end;
        end if;
    end loop;

    -- Whose session ended a host must be seen and ended by the others, or its locks stay.
    if not (select bool_and(pg_has_role(h, 'pg_read_all_stats', 'usage') and pg_has_role(h, 'pg_signal_backend', 'usage'))
            from unnest(hosts) h) then
        begin
            grant pg_read_all_stats, pg_signal_backend to notify_api, notify_dispatch, notify_projections;
        exception when insufficient_privilege then null; -- the migration says so
        end;
    end if;

    revoke all on all tables in schema events, notify, analytics from notify_api, notify_dispatch, notify_projections;
    grant usage on schema events, notify to notify_api, notify_dispatch, notify_projections;
    grant select on all tables in schema events, notify to notify_api, notify_dispatch, notify_projections;

    -- Events. Appending raises a stream's version, and locks its row; nobody else's columns are changed.
    grant insert on events.mt_events to notify_api, notify_dispatch, notify_projections;
    grant insert, update (version, timestamp) on events.mt_streams to notify_api, notify_dispatch, notify_projections;
    grant usage, select on all sequences in schema events to notify_api, notify_dispatch, notify_projections;
    grant execute on all functions in schema events to notify_api, notify_dispatch, notify_projections;

    -- Documents are written with the events that they are folded from: by Api all kinds, by Dispatch those of users, and by commands of
    -- Projections lines of the access log. Read models and their progress are Projections'.
    for item in select c.relname as name from pg_class c
                where c.relnamespace = 'events'::regnamespace and c.relkind in ('r', 'p')
                  and c.relname not in ('mt_events', 'mt_streams') loop
        if item.name like 'mt\_doc\_%' and item.name not in ('mt_doc_notificationview', 'mt_doc_deadletterevent') then
            execute format('grant insert, update on events.%I to notify_api', item.name);
            if item.name = 'mt_doc_recipient' then grant insert, update on events.mt_doc_recipient to notify_dispatch; end if;
            if item.name = 'mt_doc_access' then grant insert, update on events.mt_doc_access to notify_projections; end if;
        else
            execute format('grant insert, update, delete on events.%I to notify_projections', item.name);
        end if;
    end loop;

    -- Tables of our own. The event IDs are added to and never changed; applied steps are the migration's.
    grant insert, update, delete on all tables in schema notify to notify_api, notify_dispatch, notify_projections;
    revoke insert, update, delete on notify.schema_steps from notify_api, notify_dispatch, notify_projections;
    revoke update, delete on notify.event_ids from notify_api, notify_dispatch, notify_projections;
    revoke insert on notify.event_ids from notify_projections;
    grant usage on all sequences in schema notify to notify_api, notify_dispatch, notify_projections;
    grant execute on function notify.add_partitions(text, timestamptz, integer), notify.drop_partition(text) to notify_projections;

    grant usage on schema analytics to notify_api, notify_projections;
    grant select on all tables in schema analytics to notify_api;
    grant select, insert, update, delete on all tables in schema analytics to notify_projections;

    -- Messages: a host's own store, and the dead letters of all, for alerts. Api and Dispatch send by the queues.
    for i in 1 .. array_length(hosts, 1) loop
        if to_regnamespace(stores[i]) is null then continue; end if;
        execute format('grant usage on schema %I to notify_api, notify_dispatch, notify_projections', stores[i]);
        execute format('revoke all on all tables in schema %I from notify_api, notify_dispatch, notify_projections', stores[i]);
        execute format('grant select, insert, update, delete on all tables in schema %I to %I', stores[i], hosts[i]);
        execute format('grant usage on all sequences in schema %I to %I', stores[i], hosts[i]);
        execute format('grant execute on all functions in schema %I to %I', stores[i], hosts[i]);
        if to_regclass(stores[i] || '.wolverine_dead_letters') is not null then
            execute format('grant select on %I.wolverine_dead_letters to notify_dispatch, notify_projections', stores[i]);
        end if;
    end loop;
    if to_regnamespace('queues') is not null then
        grant usage on schema queues to notify_api, notify_dispatch, notify_projections;
        revoke all on all tables in schema queues from notify_api, notify_dispatch, notify_projections;
        grant select, insert, update, delete on all tables in schema queues to notify_api, notify_dispatch;
        grant select on all tables in schema queues to notify_projections;
        grant usage on all sequences in schema queues to notify_api, notify_dispatch;
        grant execute on all functions in schema queues to notify_api, notify_dispatch, notify_projections;
    end if;
end $$;
