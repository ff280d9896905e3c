-- The powers of hosts in the database: run at the end of every migration, by the owner of the schemas. Nothing in it changes when it
-- runs again. A host has what it needs, and no more: it adds events, and can neither change nor delete one.

-- Partitions are made and dropped by the owner alone: a host asks for them through these functions, for these tables.
create or replace function notify.make_partition(parent text, name text, bounds text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    execute format('create table %s partition of %s %s %s', name, parent, bounds,
        case parent when 'analytics.deliveries' then 'with (fillfactor = 80)' end);
    -- A read model has its keys in each partition alone, so that the table from before can be one without a new index.
    if parent in ('analytics.deliveries', 'analytics.engagement', 'events.mt_doc_notificationview') then
        execute format('alter table %s add primary key (%s)', name, case parent
            when 'analytics.deliveries' then 'delivery_id'
            when 'analytics.engagement' then 'delivery_id, kind, link'
            else 'id' end);
    end if;
    if exists (select from pg_roles where rolname = 'notify_projections') then
        execute format('grant select on %s to notify_projections', name); -- it looks whether something open refers to a week
    end if;
end $$;

create or replace function notify.add_partitions(parent text, first timestamptz, weeks integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    week timestamptz := date_trunc('week', first at time zone 'UTC') at time zone 'UTC';
    name text;
    made integer := 0;
begin
    if parent not in ('notify.payloads', 'notify.receipt_texts', 'notify.links',
                      'analytics.deliveries', 'analytics.engagement', 'events.mt_doc_notificationview') then
        raise exception '% is not partitioned by week', parent using errcode = 'insufficient_privilege';
    end if;
    for i in 1 .. weeks loop
        name := parent || to_char(week at time zone 'UTC', '"_"YYYYMMDD');
        if to_regclass(name) is null then
            begin
                perform notify.make_partition(
                    parent, name, format('for values from (%L) to (%L)', week, week + interval '168 hours'));
                made := made + 1;
            exception when check_violation or invalid_object_definition then
                null; -- the default partition, or the first one of a read model, has that week
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
          and i.inhparent in ('notify.payloads'::regclass, 'notify.receipt_texts'::regclass, 'notify.links'::regclass,
              'analytics.deliveries'::regclass, 'analytics.engagement'::regclass, 'events.mt_doc_notificationview'::regclass)) then
        raise exception '% is no week of a partitioned table', partition using errcode = 'insufficient_privilege';
    end if;
    -- From here on the read model's writer leaves out what it would write there.
    update notify.retention_limits
    set dropped_before = greatest(dropped_before, (to_date(right(partition, 8), 'YYYYMMDD') + 7)::timestamp at time zone 'UTC')
    where table_name = left(partition, -9);
    execute format('drop table %s', to_regclass(partition));
end $$;

-- Makes a plain read model a partitioned one, a step at a call; see PartitionedTable.PartitionAsync. Its table becomes the first partition,
-- up to a week that is ahead.
create or replace function notify.partition_by_week(parent text, first timestamptz, may_begin boolean) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    plain constant regclass := to_regclass(parent);
    time_column constant text := case parent when 'analytics.engagement' then 'first_at' else 'requested_at' end;
    ahead timestamptz := date_trunc('week', first at time zone 'UTC' + interval '35 days') at time zone 'UTC';
    rule record;
    week text;
    views text;
    item record;
begin
    if parent not in ('analytics.deliveries', 'analytics.engagement', 'events.mt_doc_notificationview') then
        raise exception '% is no read model with a retention', parent using errcode = 'insufficient_privilege';
    end if;
    if (select relkind from pg_class where oid = plain) = 'p' then return 'partitioned'; end if;
    select conname, convalidated into rule from pg_constraint where conrelid = plain and conname ~ '^before_[0-9]{8}$';
    if rule is null and not may_begin then return 'plain'; end if;
    select string_agg(distinct r.ev_class::regclass::text, ', ') into views
    from pg_depend d join pg_rewrite r on r.oid = d.objid
    where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = plain and r.ev_class <> plain;
    if views is not null then return views; end if;
    if rule is null then
        execute format('alter table %s add constraint %I check (%I is not null and %I < %L) not valid', parent,
            'before_' || to_char(ahead at time zone 'UTC', 'YYYYMMDD'), time_column, time_column, ahead);
        return 'begun';
    elsif not rule.convalidated then
        execute format('alter table %s validate constraint %I', parent, rule.conname);
        return 'checked';
    end if;

    ahead := to_date(right(rule.conname, 8), 'YYYYMMDD')::timestamp at time zone 'UTC';
    week := parent || to_char((ahead - interval '168 hours') at time zone 'UTC', '"_"YYYYMMDD');
    execute format('alter table %s rename to %I', parent, split_part(week, '.', 2));
    execute format('create table %s (like %s including defaults including storage including comments) partition by range (%I)',
        parent, week, time_column);
    execute format('comment on table %s is %L', parent, obj_description(plain, 'pg_class'));
    for item in select regexp_replace(
                    pg_get_indexdef(i.indexrelid), '^CREATE INDEX .*? ON .*? USING', 'create index on ' || parent || ' using') as statement
                from pg_index i where i.indrelid = plain and not i.indisunique loop
        execute item.statement;
    end loop;
    for item in select format('grant %s on %s to %s', a.privilege_type, parent, a.grantee::regrole) as statement
                from pg_class c cross join aclexplode(c.relacl) a where c.oid = plain and a.grantee not in (0, c.relowner) loop
        execute item.statement;
    end loop;
    execute format('alter table %s attach partition %s for values from (minvalue) to (%L)', parent, week, ahead);
    execute format('alter table %s drop constraint %I', week, rule.conname);
    perform notify.make_partition(parent, parent || '_default', 'default');
    return 'partitioned';
end $$;

do $$
declare
    hosts constant text[] := array['notify_api', 'notify_dispatch', 'notify_projections'];
    stores constant text[] := array['api_messages', 'dispatch_messages', 'projections_messages'];
    host text;
    item record;
begin
    revoke execute on function notify.add_partitions(text, timestamptz, integer), notify.drop_partition(text),
        notify.make_partition(text, text, text), notify.partition_by_week(text, timestamptz, boolean) from public;

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
        if item.name like 'mt\_doc\_%' and item.name <> 'mt_doc_deadletterevent' and item.name not like 'mt\_doc\_notificationview%' then
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
    grant execute on function notify.add_partitions(text, timestamptz, integer), notify.drop_partition(text),
        notify.partition_by_week(text, timestamptz, boolean) to notify_projections;

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
