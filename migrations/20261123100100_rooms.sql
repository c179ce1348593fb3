-- Rooms: their events, order, state and members.

CREATE TABLE room (
    nid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    version text NOT NULL,
    partial_state boolean NOT NULL DEFAULT false,
    horizon bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE room IS 'Every room seen; never trimmed. A row without room_state is a room that was never entered.';
COMMENT ON COLUMN room.nid IS 'The integer that stands for the room.';
COMMENT ON COLUMN room.id IS 'The room id.';
COMMENT ON COLUMN room.version IS 'The room version.';
COMMENT ON COLUMN room.partial_state IS 'Joined over federation, the members still being fetched.';
COMMENT ON COLUMN room.horizon IS 'History before this position was deleted.';

CREATE TABLE state_key (
    nid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    type text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    UNIQUE (type, key)
);
COMMENT ON TABLE state_key IS 'Every (type, state_key) seen. Never trimmed.';
COMMENT ON COLUMN state_key.nid IS 'The integer that stands for the pair.';
COMMENT ON COLUMN state_key.type IS 'The event type.';
COMMENT ON COLUMN state_key.key IS 'The state key.';

CREATE SEQUENCE event_nid INCREMENT 256;
CREATE SEQUENCE state_node_id INCREMENT 256;
CREATE SEQUENCE incarnation;

CREATE TABLE event (
    nid bigint PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    room_nid bigint NOT NULL,
    type text COLLATE "C" NOT NULL,
    state_key_nid bigint,
    sender_nid bigint NOT NULL,
    depth bigint NOT NULL,
    origin_server_ts bigint NOT NULL,
    outlier boolean NOT NULL,
    rejected boolean NOT NULL,
    soft_failed boolean NOT NULL,
    partial_state boolean NOT NULL,
    root_before bigint,
    redacted_by bigint,
    auth_events bigint[] NOT NULL,
    auth_order integer NOT NULL,
    device_id text,
    txn_id text,
    json text NOT NULL
);
CREATE INDEX event_time ON event (room_nid, origin_server_ts);
COMMENT ON TABLE event IS 'Every event. Trimmed by retention and room deletion.';
COMMENT ON COLUMN event.nid IS 'From the sequence event_nid, taken in blocks of 256.';
COMMENT ON COLUMN event.id IS 'The event id.';
COMMENT ON COLUMN event.room_nid IS 'Its room.';
COMMENT ON COLUMN event.type IS 'Its type.';
COMMENT ON COLUMN event.state_key_nid IS 'For a state event, its (type, state_key).';
COMMENT ON COLUMN event.sender_nid IS 'Its sender.';
COMMENT ON COLUMN event.depth IS 'As the event says.';
COMMENT ON COLUMN event.origin_server_ts IS 'As the event says, milliseconds since the epoch.';
COMMENT ON COLUMN event.outlier IS 'Known, but without a place in the timeline.';
COMMENT ON COLUMN event.rejected IS 'Failed the auth rules.';
COMMENT ON COLUMN event.soft_failed IS 'Passed them, but not by the current state when it came.';
COMMENT ON COLUMN event.partial_state IS 'Its state was computed while the room lacked members.';
COMMENT ON COLUMN event.root_before IS 'Root of the state before it; null for outliers and where not computed.';
COMMENT ON COLUMN event.redacted_by IS 'Nid of the redaction in effect.';
COMMENT ON COLUMN event.auth_events IS 'Nids of its auth events.';
COMMENT ON COLUMN event.auth_order IS 'One more than the greatest of its auth events'': orders auth chains by what is known here, not by the depth anyone claims.';
COMMENT ON COLUMN event.device_id IS 'The local device that sent it with a transaction id.';
COMMENT ON COLUMN event.txn_id IS 'That transaction id, shown to that device alone.';
COMMENT ON COLUMN event.json IS 'The exact canonical JSON of the PDU, without event_id where the room version has none.';

CREATE TABLE redaction (
    target text COLLATE "C" NOT NULL,
    redaction_nid bigint NOT NULL,
    PRIMARY KEY (target, redaction_nid)
);
CREATE INDEX redaction_nid ON redaction (redaction_nid);
COMMENT ON TABLE redaction IS 'Which events ask for which event to be redacted, known or not. Trimmed with its event.';
COMMENT ON COLUMN redaction.target IS 'Event id of the target.';
COMMENT ON COLUMN redaction.redaction_nid IS 'The redacting event.';

CREATE TABLE timeline (
    room_nid bigint NOT NULL,
    anchor bigint NOT NULL,
    sub bigint NOT NULL,
    event_nid bigint NOT NULL,
    heads bigint[],
    PRIMARY KEY (room_nid, anchor, sub)
);
CREATE UNIQUE INDEX timeline_event ON timeline (event_nid);
COMMENT ON TABLE timeline IS 'The order of a room''s history. Trimmed with its events.';
COMMENT ON COLUMN timeline.room_nid IS 'The room.';
COMMENT ON COLUMN timeline.anchor IS 'Log position of the event, or of the earliest known child of one fetched later.';
COMMENT ON COLUMN timeline.sub IS 'Zero for a live event; -1, -2 ... for one fetched later, children before parents.';
COMMENT ON COLUMN timeline.event_nid IS 'The event.';
COMMENT ON COLUMN timeline.heads IS 'Forward extremities of the room after it; null where it alone is one.';

CREATE TABLE state_node (
    id bigint PRIMARY KEY,
    data bytea NOT NULL
);
COMMENT ON TABLE state_node IS 'Nodes of state trees, never changed. Unreachable ones are freed after room deletion.';
COMMENT ON COLUMN state_node.id IS 'From the sequence state_node_id, taken in blocks of 256; never used twice.';
COMMENT ON COLUMN state_node.data IS 'The encoded node; its first byte names the format.';

CREATE TABLE room_state (
    room_nid bigint NOT NULL,
    pos bigint NOT NULL,
    root bigint NOT NULL,
    joined bigint NOT NULL,
    invited bigint NOT NULL,
    PRIMARY KEY (room_nid, pos)
);
COMMENT ON TABLE room_state IS 'The current state of a room from a position on. Trimmed with the room''s history.';
COMMENT ON COLUMN room_state.room_nid IS 'The room.';
COMMENT ON COLUMN room_state.pos IS 'Log position of the change.';
COMMENT ON COLUMN room_state.root IS 'The state tree.';
COMMENT ON COLUMN room_state.joined IS 'How many users are joined.';
COMMENT ON COLUMN room_state.invited IS 'How many users are invited.';

CREATE TABLE membership (
    user_nid bigint NOT NULL,
    room_nid bigint NOT NULL,
    pos bigint NOT NULL,
    membership smallint NOT NULL,
    forgotten boolean NOT NULL,
    event_nid bigint,
    stripped_state text,
    PRIMARY KEY (user_nid, room_nid, pos)
);
CREATE INDEX membership_user ON membership (user_nid, pos);
CREATE INDEX membership_room ON membership (room_nid, pos);
COMMENT ON TABLE membership IS 'Who was what in which room from when on, derived from room state and from invites to rooms this server is not in. Trimmed with the room''s history, all but the newest of a pair.';
COMMENT ON COLUMN membership.user_nid IS 'The user.';
COMMENT ON COLUMN membership.room_nid IS 'The room.';
COMMENT ON COLUMN membership.pos IS 'Log position of the change.';
COMMENT ON COLUMN membership.membership IS '1 join, 2 invite, 3 knock, 4 leave, 5 ban.';
COMMENT ON COLUMN membership.forgotten IS 'The user forgot the room.';
COMMENT ON COLUMN membership.event_nid IS 'The member event; null where the room state lost it without one.';
COMMENT ON COLUMN membership.stripped_state IS 'For an invite or knock over federation, what the other server told of the room: a JSON array.';

CREATE TABLE room_server (
    room_nid bigint NOT NULL,
    server text COLLATE "C" NOT NULL,
    from_pos bigint NOT NULL,
    to_pos bigint,
    PRIMARY KEY (room_nid, server, from_pos)
);
COMMENT ON TABLE room_server IS 'Which servers hear of which part of a room''s log. Trimmed below the oldest sender''s cursor.';
COMMENT ON COLUMN room_server.room_nid IS 'The room.';
COMMENT ON COLUMN room_server.server IS 'The server name.';
COMMENT ON COLUMN room_server.from_pos IS 'First position it hears.';
COMMENT ON COLUMN room_server.to_pos IS 'Last position it hears; null while it is in the room.';

CREATE TABLE alias (
    alias text COLLATE "C" PRIMARY KEY,
    room_nid bigint NOT NULL,
    creator_nid bigint NOT NULL,
    pos bigint NOT NULL
);
CREATE INDEX alias_room ON alias (room_nid);
COMMENT ON TABLE alias IS 'Local room aliases; deleted on request.';
COMMENT ON COLUMN alias.alias IS 'The full alias.';
COMMENT ON COLUMN alias.room_nid IS 'Where it points.';
COMMENT ON COLUMN alias.creator_nid IS 'Who made it.';
COMMENT ON COLUMN alias.pos IS 'Log position of its making.';

CREATE TABLE published_room (
    room_nid bigint PRIMARY KEY,
    pos bigint NOT NULL
);
COMMENT ON TABLE published_room IS 'Rooms in the public directory; deleted on request.';
COMMENT ON COLUMN published_room.room_nid IS 'The room.';
COMMENT ON COLUMN published_room.pos IS 'Log position of its publishing.';

CREATE TABLE account_data (
    user_nid bigint NOT NULL REFERENCES account (user_nid),
    room_nid bigint NOT NULL,
    type text COLLATE "C" NOT NULL,
    content text,
    pos bigint NOT NULL,
    PRIMARY KEY (user_nid, room_nid, type)
);
CREATE INDEX account_data_pos ON account_data (user_nid, pos);
COMMENT ON TABLE account_data IS 'Account data, tags among it. Tombstones are kept as long as the oldest accepted token.';
COMMENT ON COLUMN account_data.user_nid IS 'Whose it is.';
COMMENT ON COLUMN account_data.room_nid IS 'The room it is about; zero for all of the account.';
COMMENT ON COLUMN account_data.type IS 'The event type.';
COMMENT ON COLUMN account_data.content IS 'JSON object; null where it was deleted.';
COMMENT ON COLUMN account_data.pos IS 'Log position of the last change.';

CREATE TABLE transaction_id (
    user_nid bigint NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    scope text COLLATE "C" NOT NULL,
    txn_id text COLLATE "C" NOT NULL,
    reply_nid bigint,
    created_ts bigint NOT NULL,
    PRIMARY KEY (user_nid, device_id, scope, txn_id)
);
CREATE INDEX transaction_id_age ON transaction_id USING brin (created_ts);
COMMENT ON TABLE transaction_id IS 'What a client''s transaction ids came to. Trimmed by age.';
COMMENT ON COLUMN transaction_id.user_nid IS 'Who sent it.';
COMMENT ON COLUMN transaction_id.device_id IS 'From which device.';
COMMENT ON COLUMN transaction_id.scope IS 'The endpoint with its path parameters.';
COMMENT ON COLUMN transaction_id.txn_id IS 'As the client chose it.';
COMMENT ON COLUMN transaction_id.reply_nid IS 'The event it made.';
COMMENT ON COLUMN transaction_id.created_ts IS 'Milliseconds since the epoch.';
