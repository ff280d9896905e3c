-- The apps that a provider has settings for, the default one first: [{ "name", "app", "environment" }].
alter table notify.carried_providers add column if not exists apps text;
