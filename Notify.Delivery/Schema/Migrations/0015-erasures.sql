-- Further addresses of somebody who is not registered and whose key goes by another one: an erasure by any of them finds the key.
-- Both are keyed hashes, as in notify.subject_keys.
create table if not exists notify.subject_aliases (
    alias   text not null,
    subject text not null,
    primary key (alias, subject)
);
create index if not exists subject_aliases_subject on notify.subject_aliases (subject);

-- The life of a master key: since when it is known here, since when it wraps nothing and never will again, and when it was destroyed.
alter table notify.master_keys add column if not exists known_since timestamptz not null default now();
alter table notify.master_keys add column if not exists retired_at timestamptz;
alter table notify.master_keys add column if not exists destroyed_at timestamptz;
