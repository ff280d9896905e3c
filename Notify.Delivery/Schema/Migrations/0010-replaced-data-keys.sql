-- concurrently
create index concurrently if not exists subject_keys_replaced on notify.subject_keys (subject) where erased_at = 'infinity';
