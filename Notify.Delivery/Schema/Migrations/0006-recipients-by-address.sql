-- concurrently
-- Registered users who opted out of something, by their addresses: that also counts where the bare address is sent to.
create index concurrently if not exists recipients_by_email on events.mt_doc_recipient ((data ->> 'emailFingerprint'))
    where data -> 'choices' @? '$.* ? (@ == false)';
create index concurrently if not exists recipients_by_phone on events.mt_doc_recipient ((data ->> 'phoneFingerprint'))
    where data -> 'choices' @? '$.* ? (@ == false)';
