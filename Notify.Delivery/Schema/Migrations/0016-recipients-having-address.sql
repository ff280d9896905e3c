-- concurrently
-- Registered users by their addresses: an erasure by an address finds who has it.
create index concurrently if not exists recipients_having_email on events.mt_doc_recipient ((data ->> 'emailFingerprint'));
create index concurrently if not exists recipients_having_phone on events.mt_doc_recipient ((data ->> 'phoneFingerprint'));
-- Keys of erased people, by the master key that wrapped them last: whether one was kept for too long.
create index concurrently if not exists subject_keys_erased on notify.subject_keys (master_key, erased_at) where erased_at is not null;
