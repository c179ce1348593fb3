-- What this server is, and who may use it.

CREATE TABLE server (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    server_name text NOT NULL,
    created_ts bigint NOT NULL,
    registration_token text NOT NULL,
    system_identifier bigint NOT NULL,
    timeline integer NOT NULL
);
COMMENT ON TABLE server IS 'One row, made at the first start. Never trimmed.';
COMMENT ON COLUMN server.singleton IS 'Always true: there is one row.';
COMMENT ON COLUMN server.server_name IS 'Part of every id; can never change.';
COMMENT ON COLUMN server.created_ts IS 'First start, milliseconds since the epoch.';
COMMENT ON COLUMN server.registration_token IS 'The standing registration token, used when none is configured.';
COMMENT ON COLUMN server.system_identifier IS 'pg_control_system() of the cluster last served; a change means a restore or a failover.';
COMMENT ON COLUMN server.timeline IS 'pg_control_checkpoint() timeline of the cluster last served.';

CREATE TABLE signing_key (
    key_id text PRIMARY KEY,
    seed bytea NOT NULL CHECK (octet_length(seed) = 32),
    created_ts bigint NOT NULL,
    expired_ts bigint
);
COMMENT ON TABLE signing_key IS 'Ed25519 keys of this server, past and present. Never trimmed: old signatures need them.';
COMMENT ON COLUMN signing_key.key_id IS 'With its algorithm: ed25519:abcd.';
COMMENT ON COLUMN signing_key.seed IS 'The private seed.';
COMMENT ON COLUMN signing_key.created_ts IS 'Milliseconds since the epoch.';
COMMENT ON COLUMN signing_key.expired_ts IS 'When it stopped being used for signing; null for the one in use.';

CREATE TABLE interned_user (
    nid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE
);
COMMENT ON TABLE interned_user IS 'Every user id seen, local or remote. Never trimmed.';
COMMENT ON COLUMN interned_user.nid IS 'The integer that stands for the user.';
COMMENT ON COLUMN interned_user.id IS 'The full user id.';

CREATE TABLE account (
    user_nid bigint PRIMARY KEY REFERENCES interned_user (nid),
    password_hash text,
    admin boolean NOT NULL,
    created_ts bigint NOT NULL,
    deactivated_ts bigint,
    pos bigint NOT NULL
);
COMMENT ON TABLE account IS 'Local users. Never trimmed: an id is never given out twice.';
COMMENT ON COLUMN account.user_nid IS 'The user.';
COMMENT ON COLUMN account.password_hash IS 'PHC string of argon2id; null where no password logs in.';
COMMENT ON COLUMN account.admin IS 'May use the admin API.';
COMMENT ON COLUMN account.created_ts IS 'Milliseconds since the epoch.';
COMMENT ON COLUMN account.deactivated_ts IS 'Milliseconds since the epoch; null while the account is in use.';
COMMENT ON COLUMN account.pos IS 'Log position of the last change.';

CREATE TABLE device (
    user_nid bigint NOT NULL REFERENCES account (user_nid),
    id text COLLATE "C" NOT NULL,
    display_name text,
    created_ts bigint NOT NULL,
    pos bigint NOT NULL,
    PRIMARY KEY (user_nid, id)
);
COMMENT ON TABLE device IS 'Sessions of local users; deleted at logout.';
COMMENT ON COLUMN device.user_nid IS 'Its owner.';
COMMENT ON COLUMN device.id IS 'The device id, unique for its owner only.';
COMMENT ON COLUMN device.display_name IS 'As the user or client named it.';
COMMENT ON COLUMN device.created_ts IS 'Milliseconds since the epoch.';
COMMENT ON COLUMN device.pos IS 'Log position of the last change.';

CREATE TABLE access_token (
    hash bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    user_nid bigint NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    created_ts bigint NOT NULL,
    FOREIGN KEY (user_nid, device_id) REFERENCES device (user_nid, id) ON DELETE CASCADE
);
CREATE INDEX access_token_device ON access_token (user_nid, device_id);
COMMENT ON TABLE access_token IS 'Tokens in use; deleted with their device.';
COMMENT ON COLUMN access_token.hash IS 'SHA-256 of the token; the token itself is not kept.';
COMMENT ON COLUMN access_token.user_nid IS 'Whose it is.';
COMMENT ON COLUMN access_token.device_id IS 'The device it belongs to.';
COMMENT ON COLUMN access_token.created_ts IS 'Milliseconds since the epoch.';

CREATE TABLE registration_token (
    token text COLLATE "C" PRIMARY KEY,
    uses_allowed integer,
    completed integer NOT NULL DEFAULT 0,
    expires_ts bigint
);
COMMENT ON TABLE registration_token IS 'Registration tokens made by administrators beside the standing one. Trimmed by them.';
COMMENT ON COLUMN registration_token.token IS 'What the new user types.';
COMMENT ON COLUMN registration_token.uses_allowed IS 'How many accounts it makes; null for any number.';
COMMENT ON COLUMN registration_token.completed IS 'How many accounts it made.';
COMMENT ON COLUMN registration_token.expires_ts IS 'Milliseconds since the epoch; null for never.';

CREATE TABLE uia_session (
    id text COLLATE "C" PRIMARY KEY,
    route text NOT NULL,
    user_nid bigint,
    request jsonb NOT NULL,
    completed text[] NOT NULL,
    results jsonb NOT NULL,
    created_ts bigint NOT NULL
);
CREATE INDEX uia_session_created ON uia_session (created_ts);
COMMENT ON TABLE uia_session IS 'User-interactive authentication under way. Trimmed by age.';
COMMENT ON COLUMN uia_session.id IS 'The session id given to the client.';
COMMENT ON COLUMN uia_session.route IS 'Method and path it was begun on; it is good for no other.';
COMMENT ON COLUMN uia_session.user_nid IS 'Whose token began it; null before there is an account.';
COMMENT ON COLUMN uia_session.request IS 'Body of the first request without auth; later requests may leave it out.';
COMMENT ON COLUMN uia_session.completed IS 'Stage types passed so far.';
COMMENT ON COLUMN uia_session.results IS 'What the stages found out, by stage type: the registration token used, say.';
COMMENT ON COLUMN uia_session.created_ts IS 'Milliseconds since the epoch.';

CREATE TABLE filter (
    user_nid bigint NOT NULL REFERENCES account (user_nid),
    id bigint NOT NULL,
    hash bytea NOT NULL,
    definition text NOT NULL,
    PRIMARY KEY (user_nid, id),
    UNIQUE (user_nid, hash)
);
COMMENT ON TABLE filter IS 'Sync filters, kept for as long as the account. Equal ones share a row.';
COMMENT ON COLUMN filter.user_nid IS 'Its owner.';
COMMENT ON COLUMN filter.id IS 'Counts up for each user.';
COMMENT ON COLUMN filter.hash IS 'SHA-256 of the canonical JSON.';
COMMENT ON COLUMN filter.definition IS 'Canonical JSON.';

CREATE TABLE profile_field (
    user_nid bigint NOT NULL REFERENCES interned_user (nid),
    key text COLLATE "C" NOT NULL,
    value text,
    pos bigint NOT NULL,
    PRIMARY KEY (user_nid, key)
);
COMMENT ON TABLE profile_field IS 'Profiles of local users, one row a field. Trimmed with the account.';
COMMENT ON COLUMN profile_field.user_nid IS 'Whose profile.';
COMMENT ON COLUMN profile_field.key IS 'displayname, avatar_url, m.tz ...';
COMMENT ON COLUMN profile_field.value IS 'JSON; null where the field was deleted.';
COMMENT ON COLUMN profile_field.pos IS 'Log position of the last change.';
