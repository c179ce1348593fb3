-- Limits that all replicas share and that outlive a restart.

CREATE TABLE failed_login (
    subject bytea PRIMARY KEY,
    full_at timestamptz NOT NULL
);
CREATE INDEX failed_login_age ON failed_login (full_at);
COMMENT ON TABLE failed_login IS 'Wrong passwords lately, as one bucket for each account and address. Trimmed when the bucket is full again.';
COMMENT ON COLUMN failed_login.subject IS 'SHA-256 of the account or the address: what somebody typed as a name may be a password.';
COMMENT ON COLUMN failed_login.full_at IS 'When all of it is forgotten, by the database''s clock. Each wrong password moves it on.';
