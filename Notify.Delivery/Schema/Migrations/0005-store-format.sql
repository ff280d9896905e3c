-- The lowest version of a reader that may judge what the store holds. Raised by the first host that writes a newer form, when
-- every live host reads it; hosts announce their own version with their keys.
alter table notify.host_keys add column if not exists reader integer not null default 1;
create table if not exists notify.store_format (
    only_row   boolean primary key default true check (only_row),
    min_reader integer not null
);
insert into notify.store_format (min_reader) values (1) on conflict do nothing;
