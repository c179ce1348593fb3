-- Sliding sync: what a client was told of which rooms, as far as it cannot be worked out from its position.

CREATE TABLE sliding_connection (
    user_nid bigint NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    conn_id text COLLATE "C" NOT NULL,
    newest_hash bigint NOT NULL,
    newest bytea NOT NULL,
    previous_hash bigint,
    previous bytea,
    used_ts bigint NOT NULL,
    PRIMARY KEY (user_nid, device_id, conn_id)
);
CREATE INDEX sliding_connection_used ON sliding_connection (used_ts);
COMMENT ON TABLE sliding_connection IS 'Connections of sliding sync. Trimmed when they were not used for long, with their device, and when it has too many.';
COMMENT ON COLUMN sliding_connection.user_nid IS 'Whose.';
COMMENT ON COLUMN sliding_connection.device_id IS 'The device.';
COMMENT ON COLUMN sliding_connection.conn_id IS 'The client''s name for it.';
COMMENT ON COLUMN sliding_connection.newest_hash IS 'The first eight bytes of the SHA-256 of newest; the client''s position names it.';
COMMENT ON COLUMN sliding_connection.newest IS 'What the client knows if it got the newest response.';
COMMENT ON COLUMN sliding_connection.previous_hash IS 'The same for previous.';
COMMENT ON COLUMN sliding_connection.previous IS 'What it knows if it did not.';
COMMENT ON COLUMN sliding_connection.used_ts IS 'When it was last used, within an hour; milliseconds since the epoch.';
