-- A subject may have several keys: the current one, and those that it replaced, which only open what they encrypted.
alter table notify.subject_keys add column if not exists replaced_at timestamptz;
comment on column notify.subject_keys.erased_at is
    'null: the current key of its subject; infinity: replaced by a newer one; else since when nothing that it encrypted opens';
