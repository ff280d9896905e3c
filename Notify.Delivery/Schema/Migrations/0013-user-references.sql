-- The ID by which callers know a user stands here alone, encrypted under the key in the same row: everything else knows the user by a
-- reference, a keyed hash. Erased with the key.
alter table notify.subject_keys add column if not exists sealed_user_id bytea;

-- Whether the store may have users from before references, who are known by their IDs: then an ID is looked up before it is taken for
-- a new user's. Set when the lowest reader is raised to the form of references.
alter table notify.store_format add column if not exists plain_users boolean not null default false;

comment on column notify.preferences.user_id is
    'A reference to the user, which begins with * and follows from the ID that clients chose; for users from before references that ID';
