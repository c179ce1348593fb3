-- A browser cannot send headers with a WebSocket or an event stream, and access tokens do not belong in addresses.

CREATE TABLE stream_ticket (
    hash bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    token_hash bytea NOT NULL CHECK (octet_length(token_hash) = 32),
    seal bytea NOT NULL,
    opened boolean NOT NULL DEFAULT false,
    good_until_ts bigint NOT NULL
);
CREATE INDEX stream_ticket_good_until ON stream_ticket (good_until_ts);
COMMENT ON TABLE stream_ticket IS 'What opens one stream in the place of an access token. Trimmed when they expired.';
COMMENT ON COLUMN stream_ticket.hash IS 'SHA-256 of the ticket; the ticket itself is not kept.';
COMMENT ON COLUMN stream_ticket.token_hash IS 'SHA-256 of the access token that it was got with, and is good for as long as.';
COMMENT ON COLUMN stream_ticket.seal IS 'What the ids of its stream''s events are sealed with, so that they are known again.';
COMMENT ON COLUMN stream_ticket.opened IS 'An event stream was opened with it, and only that stream can be taken up again.';
COMMENT ON COLUMN stream_ticket.good_until_ts IS 'Milliseconds since the epoch; put off for as long as its event stream is open.';
