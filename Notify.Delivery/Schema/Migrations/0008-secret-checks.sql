-- Check values of the installation's secrets beside the master keys (notify.master_keys), derived from them by HKDF: a host whose
-- value differs does not start. Written once, by migrate or by the first host.
create table if not exists notify.secret_checks (
    name        text        primary key,
    check_value text        not null,
    recorded_at timestamptz not null default now()
);
