-- Whether the sandbox plays a provider for live clients.
alter table notify.carried_providers add column if not exists is_sandbox boolean not null default false;
