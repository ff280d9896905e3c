-- The schema for analysts: tables projected from the events, and views over counters that are kept outside of them.
-- Step 2 of the migrations: its statements never change. Every table and column has a comment; docs/analytics.md explains them.
create schema if not exists analytics;
comment on schema analytics is 'Read model for analysts, projected from the events. No addresses, names, tokens, content or user IDs.';

create table if not exists analytics.deliveries (
    delivery_id         uuid primary key,
    client_id           text        not null,
    event_id            text        not null,
    recipient           uuid        not null,
    registered          boolean     not null,
    channel             text        not null,
    lane                text,
    provider            text,
    category            text        not null,
    priority            text        not null,
    mode                text        not null,
    template_key        text,
    template_version    integer,
    status              text        not null,
    reason              text,
    attempts            integer     not null,
    requested_at        timestamptz not null,
    planned_at          timestamptz not null,
    first_attempt_at    timestamptz,
    dispatched_at       timestamptz,
    delivered_at        timestamptz,
    failed_at           timestamptz,
    status_at           timestamptz not null,
    latency_ms          bigint,
    provider_latency_ms integer,
    delivery_latency_ms bigint,
    opened_at           timestamptz,
    opens               integer     not null,
    clicked_at          timestamptz,
    clicks              integer     not null,
    unsubscribed_at     timestamptz
) with (fillfactor = 80);
create index if not exists deliveries_requested_at on analytics.deliveries using brin (requested_at) with (pages_per_range = 32);
create index if not exists deliveries_client on analytics.deliveries (client_id, event_id);

comment on table analytics.deliveries is 'One row per delivery: each device, number or address that a notification was planned to, and each channel that was left out.';
comment on column analytics.deliveries.delivery_id is 'The delivery; also in the notification''s events and in the API.';
comment on column analytics.deliveries.client_id is 'The client that asked; its appKey.';
comment on column analytics.deliveries.event_id is 'The notification''s event ID, chosen by the client; unique per client.';
comment on column analytics.deliveries.recipient is 'A keyed pseudonym of the recipient: the same person has the same value. It cannot be turned back into a user ID or an address.';
comment on column analytics.deliveries.registered is 'Whether the recipient is a registered user; false: reached by an address given with the request.';
comment on column analytics.deliveries.channel is 'push, sms or email.';
comment on column analytics.deliveries.lane is 'The kind of provider: apns, fcm, webpush, sms or email; null for what was left out at planning.';
comment on column analytics.deliveries.provider is 'The provider that was last called, such as apns or twilio; null before the first outcome or attempt is known.';
comment on column analytics.deliveries.category is 'The notification''s category.';
comment on column analytics.deliveries.priority is 'critical, normal or bulk.';
comment on column analytics.deliveries.mode is 'live or test; what a test client sends reaches the sandbox alone.';
comment on column analytics.deliveries.template_key is 'The template that was rendered; null where the content came with the request.';
comment on column analytics.deliveries.template_version is 'The template''s version; null where there is no template.';
comment on column analytics.deliveries.status is 'queued, deferred, attempting, unknown, dispatched, delivered, failed, deadLettered, suppressed, cancelled or expired; as in the API.';
comment on column analytics.deliveries.reason is 'Why it has this status, in the normalised vocabulary of the events, such as OptedOut or Unregistered; null where there is nothing to say.';
comment on column analytics.deliveries.attempts is 'Calls to a provider that counted as attempts, since the last redrive.';
comment on column analytics.deliveries.requested_at is 'When the notification was accepted. Its day (UTC) is the day that daily counts it in.';
comment on column analytics.deliveries.planned_at is 'When the delivery was planned: at acceptance, or when a scheduled notification became due.';
comment on column analytics.deliveries.first_attempt_at is 'When an attempt was first recorded: for SMS and email before the call, for push with its first outcome; null: none yet.';
comment on column analytics.deliveries.dispatched_at is 'When a provider accepted it; null: not, or not known.';
comment on column analytics.deliveries.delivered_at is 'When it was first reported to have reached the device or mailbox; null: no such report.';
comment on column analytics.deliveries.failed_at is 'When it last failed for good; stays when a late report corrects the status.';
comment on column analytics.deliveries.status_at is 'Since when it has this status.';
comment on column analytics.deliveries.latency_ms is 'Milliseconds from planned_at to dispatched_at; null while it is not dispatched.';
comment on column analytics.deliveries.provider_latency_ms is 'Milliseconds that the accepted call to the provider took; null while it is not dispatched.';
comment on column analytics.deliveries.delivery_latency_ms is 'Milliseconds from dispatched_at to delivered_at, not below 0; null where either is missing.';
comment on column analytics.deliveries.opened_at is 'When it was first opened; null: not known to be.';
comment on column analytics.deliveries.opens is '1 once it was opened, else 0. How often is in hits.';
comment on column analytics.deliveries.clicked_at is 'When a link in it was first clicked; null: not known to be.';
comment on column analytics.deliveries.clicks is 'Links in it that were clicked, each once. How often is in hits.';
comment on column analytics.deliveries.unsubscribed_at is 'When the person unsubscribed through it; null: not known to have.';

create table if not exists analytics.engagement (
    delivery_id uuid        not null,
    kind        text        not null,
    link        text        not null,
    client_id   text        not null,
    channel     text        not null,
    category    text        not null,
    first_at    timestamptz not null,
    source      text        not null,
    primary key (delivery_id, kind, link)
);
create index if not exists engagement_first_at on analytics.engagement using brin (first_at) with (pages_per_range = 32);

comment on table analytics.engagement is 'What people did with what they got: the first time per delivery, kind and link.';
comment on column analytics.engagement.delivery_id is 'The delivery; joins deliveries.';
comment on column analytics.engagement.kind is 'opened, clicked, complained or unsubscribed.';
comment on column analytics.engagement.link is 'Which link was clicked, by its number in the message from 0; empty for all but clicked.';
comment on column analytics.engagement.client_id is 'The client that had asked for the notification.';
comment on column analytics.engagement.channel is 'push, sms or email.';
comment on column analytics.engagement.category is 'The notification''s category.';
comment on column analytics.engagement.first_at is 'When it happened for the first time.';
comment on column analytics.engagement.source is 'Who told of it: the app, a tracking link, or a provider.';

create table if not exists analytics.daily (
    day               date     not null,
    client_id         text     not null,
    channel           text     not null,
    category          text     not null,
    template          text     not null,
    provider          text     not null,
    mode              text     not null,
    requested         bigint   not null,
    suppressed        bigint   not null,
    cancelled         bigint   not null,
    expired           bigint   not null,
    in_flight         bigint   not null,
    unknown           bigint   not null,
    dispatched        bigint   not null,
    delivered         bigint   not null,
    failed            bigint   not null,
    dead_lettered     bigint   not null,
    opened            bigint   not null,
    opened_total      bigint   not null,
    clicked           bigint   not null,
    clicked_total     bigint   not null,
    unsubscribed      bigint   not null,
    latency_histogram bigint[] not null,
    primary key (day, client_id, channel, category, template, provider, mode)
) with (fillfactor = 70);

comment on table analytics.daily is 'Deliveries, counted by the day (UTC) on which they were requested and by what they are; always the sum over the table deliveries.';
comment on column analytics.daily.day is 'The day (UTC) on which the notification was accepted; later events change the counts of that day.';
comment on column analytics.daily.client_id is 'The client that asked.';
comment on column analytics.daily.channel is 'push, sms or email.';
comment on column analytics.daily.category is 'The notification''s category.';
comment on column analytics.daily.template is 'The template''s key; empty where the content came with the request.';
comment on column analytics.daily.provider is 'The provider that was last called; empty where none has been.';
comment on column analytics.daily.mode is 'live or test.';
comment on column analytics.daily.requested is 'Deliveries planned or left out: all there are.';
comment on column analytics.daily.suppressed is 'Left out: opted out, no contact, suppressed address, and so on.';
comment on column analytics.daily.cancelled is 'Withdrawn by the client before they were made.';
comment on column analytics.daily.expired is 'Not made before the notification''s expiresAt.';
comment on column analytics.daily.in_flight is 'Queued, deferred or being attempted.';
comment on column analytics.daily.unknown is 'Attempted, and it is not known whether the provider accepted.';
comment on column analytics.daily.dispatched is 'Accepted by a provider, whatever came after; includes delivered.';
comment on column analytics.daily.delivered is 'Reported to have reached the device or mailbox.';
comment on column analytics.daily.failed is 'Failed for good.';
comment on column analytics.daily.dead_lettered is 'Used up their attempts and wait for a person.';
comment on column analytics.daily.opened is 'Deliveries that were opened: each counts once.';
comment on column analytics.daily.opened_total is 'Opens that are recorded as events: as many as opened. All there were are in daily_engagement.';
comment on column analytics.daily.clicked is 'Deliveries with a clicked link: each counts once.';
comment on column analytics.daily.clicked_total is 'Links that were clicked: each counts once per delivery. All clicks there were are in daily_engagement.';
comment on column analytics.daily.unsubscribed is 'Deliveries through which the person unsubscribed.';
comment on column analytics.daily.latency_histogram is 'How many deliveries had which latency_ms; add up with histogram_sum, read with percentile. A percentile is off by at most 3.2 %.';

create table if not exists analytics.broadcasts (
    client_id     text   not null,
    broadcast_id  text   not null,
    channel       text   not null,
    requested     bigint not null,
    suppressed    bigint not null,
    cancelled     bigint not null,
    expired       bigint not null,
    in_flight     bigint not null,
    unknown       bigint not null,
    dispatched    bigint not null,
    delivered     bigint not null,
    failed        bigint not null,
    dead_lettered bigint not null,
    opened        bigint not null,
    opened_total  bigint not null,
    clicked       bigint not null,
    clicked_total bigint not null,
    unsubscribed  bigint not null,
    primary key (client_id, broadcast_id, channel)
) with (fillfactor = 70);

comment on table analytics.broadcasts is 'Deliveries of broadcasts, counted by what became of them; always the sum over the table deliveries, where the event ID is the broadcast''s, an @ and the user''s.';
comment on column analytics.broadcasts.client_id is 'The client that asked.';
comment on column analytics.broadcasts.broadcast_id is 'The broadcast, as its client named it.';
comment on column analytics.broadcasts.channel is 'push, sms or email.';
comment on column analytics.broadcasts.requested is 'Deliveries planned or left out: all there are so far.';
comment on column analytics.broadcasts.suppressed is 'Left out: opted out, no contact, suppressed address, and so on.';
comment on column analytics.broadcasts.cancelled is 'Withdrawn before they were made.';
comment on column analytics.broadcasts.expired is 'Not made before the broadcast''s expiresAt.';
comment on column analytics.broadcasts.in_flight is 'Queued, deferred or being attempted.';
comment on column analytics.broadcasts.unknown is 'Attempted, and it is not known whether the provider accepted.';
comment on column analytics.broadcasts.dispatched is 'Accepted by a provider, whatever came after; includes delivered.';
comment on column analytics.broadcasts.delivered is 'Reported to have reached the device or mailbox.';
comment on column analytics.broadcasts.failed is 'Failed for good.';
comment on column analytics.broadcasts.dead_lettered is 'Used up their attempts and wait for a person.';
comment on column analytics.broadcasts.opened is 'Deliveries that were opened: each counts once.';
comment on column analytics.broadcasts.opened_total is 'Opens that are recorded as events.';
comment on column analytics.broadcasts.clicked is 'Deliveries with a clicked link: each counts once.';
comment on column analytics.broadcasts.clicked_total is 'Links that were clicked.';
comment on column analytics.broadcasts.unsubscribed is 'Deliveries through which the person unsubscribed.';

-- Histograms count milliseconds in buckets: one for each value below 32, from there on 16 for each doubling.
create or replace function analytics.histogram_add(a bigint[], b bigint[]) returns bigint[]
language sql immutable parallel safe as
'select coalesce(array_agg(coalesce(x, 0) + coalesce(y, 0) order by n), ''{}'') from rows from (unnest(a), unnest(b)) with ordinality as t(x, y, n)';
comment on function analytics.histogram_add(bigint[], bigint[]) is 'The sum of two histograms, bucket by bucket.';

do $$ begin
    create aggregate analytics.histogram_sum(bigint[]) (sfunc = analytics.histogram_add, stype = bigint[], initcond = '{}', parallel = safe, combinefunc = analytics.histogram_add);
    comment on aggregate analytics.histogram_sum(bigint[]) is 'The sum of many histograms, bucket by bucket.';
exception when duplicate_function then null;
end $$;

create or replace function analytics.percentile(histogram bigint[], fraction double precision) returns double precision
language sql immutable parallel safe as
$$
    with counts as (select n - 1 as bucket, sum(count) over (order by n) as upto, sum(count) over () as total from unnest(histogram) with ordinality as t(count, n))
    select case when bucket < 32 then bucket::double precision
                else (16.5 + (bucket - 32) % 16) * power(2::double precision, ((bucket - 32) / 16 + 1)::double precision) - 0.5 end
    from counts where total > 0 and upto >= ceil(greatest(fraction, 0) * total) and upto > 0 order by bucket limit 1
$$;
comment on function analytics.percentile(bigint[], double precision) is 'The milliseconds below which that fraction of a histogram lies, off by at most 3.2 %; null for an empty one.';

-- Counters outside the events: a first hit is an event, further hits and those of machines are only counted. These views are
-- no projections, and a rebuild does not change them.
create or replace view analytics.hits as
select delivery_id, case when number < 0 then 'opened' else 'clicked' end as kind, case when number < 0 then '' else number::text end as link, people, machines, last_at
from notify.tracked_hits;

comment on view analytics.hits is 'How often each tracked email was opened and each tracked link followed, the first time included.';
comment on column analytics.hits.delivery_id is 'The delivery; joins deliveries.';
comment on column analytics.hits.kind is 'opened or clicked.';
comment on column analytics.hits.link is 'Which link, by its number in the message from 0; empty for opened. Joins engagement together with delivery_id and kind.';
comment on column analytics.hits.people is 'Hits of people: all that do not show themselves as machines.';
comment on column analytics.hits.machines is 'Hits of scanners and prefetchers, as far as they show themselves. None of them is an event.';
comment on column analytics.hits.last_at is 'When it was last hit.';

create or replace view analytics.daily_hits as
select day, client_id, channel, category, template, provider, mode,
       sum(opened_again)::bigint as opened_again, sum(clicked_again)::bigint as clicked_again, sum(machine_opens)::bigint as machine_opens, sum(machine_clicks)::bigint as machine_clicks
from notify.tracked_daily group by 1, 2, 3, 4, 5, 6, 7;

comment on view analytics.daily_hits is 'What hits add to the events, counted by what daily counts by.';
comment on column analytics.daily_hits.day is 'The day (UTC) on which the notification was accepted, as in daily.';
comment on column analytics.daily_hits.client_id is 'The client that asked.';
comment on column analytics.daily_hits.channel is 'sms or email.';
comment on column analytics.daily_hits.category is 'The notification''s category.';
comment on column analytics.daily_hits.template is 'The template''s key; empty where the content came with the request.';
comment on column analytics.daily_hits.provider is 'The provider that had been called last when it was hit; empty where none had been.';
comment on column analytics.daily_hits.mode is 'live or test.';
comment on column analytics.daily_hits.opened_again is 'Openings by people after the first of a delivery.';
comment on column analytics.daily_hits.clicked_again is 'Clicks by people after the first of a link in a delivery.';
comment on column analytics.daily_hits.machine_opens is 'Openings by machines.';
comment on column analytics.daily_hits.machine_clicks is 'Clicks by machines.';

-- Behind a function, since a view over a table that is built anew would keep it from being replaced.
create or replace function analytics.engagement_by_day()
returns table (day date, client_id text, channel text, category text, template text, provider text, mode text, opened bigint, opened_total bigint,
               clicked bigint, clicked_links bigint, clicked_total bigint, unsubscribed bigint, machine_opens bigint, machine_clicks bigint)
language sql stable parallel safe as
$$
    select day, client_id, channel, category, template, provider, mode, coalesce(d.opened, 0), coalesce(d.opened_total, 0) + coalesce(h.opened_again, 0),
           coalesce(d.clicked, 0), coalesce(d.clicked_total, 0), coalesce(d.clicked_total, 0) + coalesce(h.clicked_again, 0), coalesce(d.unsubscribed, 0),
           coalesce(h.machine_opens, 0), coalesce(h.machine_clicks, 0)
    from analytics.daily d full join analytics.daily_hits h using (day, client_id, channel, category, template, provider, mode)
$$;
comment on function analytics.engagement_by_day() is 'What the view daily_engagement shows.';

create or replace view analytics.daily_engagement as select * from analytics.engagement_by_day();

comment on view analytics.daily_engagement is 'Openings and clicks, unique and in total, counted by what daily counts by.';
comment on column analytics.daily_engagement.day is 'The day (UTC) on which the notification was accepted, as in daily.';
comment on column analytics.daily_engagement.client_id is 'The client that asked.';
comment on column analytics.daily_engagement.channel is 'push, sms or email.';
comment on column analytics.daily_engagement.category is 'The notification''s category.';
comment on column analytics.daily_engagement.template is 'The template''s key; empty where the content came with the request.';
comment on column analytics.daily_engagement.provider is 'The provider that was last called; empty where none has been.';
comment on column analytics.daily_engagement.mode is 'live or test.';
comment on column analytics.daily_engagement.opened is 'Deliveries that were opened: each counts once.';
comment on column analytics.daily_engagement.opened_total is 'All openings by people.';
comment on column analytics.daily_engagement.clicked is 'Deliveries with a clicked link: each counts once.';
comment on column analytics.daily_engagement.clicked_links is 'Links that were clicked: each counts once per delivery.';
comment on column analytics.daily_engagement.clicked_total is 'All clicks by people.';
comment on column analytics.daily_engagement.unsubscribed is 'Deliveries through which the person unsubscribed.';
comment on column analytics.daily_engagement.machine_opens is 'Openings by machines, in none of the other counts.';
comment on column analytics.daily_engagement.machine_clicks is 'Clicks by machines, in none of the other counts.';

-- The role for analysts: it can read this schema, and nothing else. Where the migration is not permitted to create roles, an
-- administrator creates it and runs the migration again.
do $$ begin
    if not exists (select from pg_roles where rolname = 'notify_analyst') then
        begin
            create role notify_analyst nologin;
        exception
            when insufficient_privilege then raise notice 'notify_analyst was not made: the migration may not make roles';
            when duplicate_object or unique_violation then null;
        end;
    end if;
    if exists (select from pg_roles where rolname = 'notify_analyst') then
        grant usage on schema analytics to notify_analyst;
        grant select on all tables in schema analytics to notify_analyst;
    end if;
end $$;
