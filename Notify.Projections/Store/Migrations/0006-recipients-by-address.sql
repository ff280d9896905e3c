-- concurrently
-- Registered users by their addresses: what one of them said also counts where the bare address is sent to.
create index concurrently if not exists recipients_by_email on events.mt_doc_recipient ((data ->> 'emailFingerprint'))
    where data ->> 'emailFingerprint' is not null;
create index concurrently if not exists recipients_by_phone on events.mt_doc_recipient ((data ->> 'phoneFingerprint'))
    where data ->> 'phoneFingerprint' is not null;
