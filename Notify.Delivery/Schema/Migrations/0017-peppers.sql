-- The installation's peppers: new hashes are made under the current one, and look-ups try all that are in use. One that was current
-- never is again. Check values stand in notify.secret_checks.
create table if not exists notify.peppers (
    id            text        primary key,
    in_use        boolean     not null default false,
    is_current    boolean     not null default false,
    current_since timestamptz,
    retired_at    timestamptz
);
create unique index if not exists peppers_current on notify.peppers (is_current) where is_current;

-- The peppers that live hosts have, and those that they look up under, of which they make hashes under the first: a pepper comes into use
-- when all hosts have it, and becomes current when all look up under it. Hosts of the former version have the first alone.
alter table notify.host_keys add column if not exists peppers text[] not null default '{0}';
alter table notify.host_keys add column if not exists peppers_in_use text[] not null default '{0}';

-- The hash of something under a newer pepper, and the older one by which it goes on being known: stream keys and events keep theirs.
create table if not exists notify.hash_references (
    kind      text not null,
    hash      text not null,
    reference text not null,
    pepper    text not null,
    primary key (kind, hash)
);
create index if not exists hash_references_reference on notify.hash_references (kind, reference);
