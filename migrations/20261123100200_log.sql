-- The log: one commit order for everything that anyone may have to hear of.

CREATE TABLE log (
    pos bigint PRIMARY KEY,
    kind smallint NOT NULL,
    room_nid bigint,
    subject_nid bigint,
    ref_nid bigint,
    payload text,
    incarnation bigint NOT NULL,
    batch bigint NOT NULL,
    item integer NOT NULL
);
COMMENT ON TABLE log IS 'One row for each thing that happened. Trimmed below the oldest cursor, all but the newest row.';
COMMENT ON COLUMN log.pos IS 'Its position.';
COMMENT ON COLUMN log.kind IS 'What happened; the numbers are those of LogKind.';
COMMENT ON COLUMN log.room_nid IS 'The room it happened in or is about.';
COMMENT ON COLUMN log.subject_nid IS 'The user it happened to or who did it.';
COMMENT ON COLUMN log.ref_nid IS 'For an event its nid.';
COMMENT ON COLUMN log.payload IS 'For the kinds that say more: JSON.';
COMMENT ON COLUMN log.incarnation IS 'The process that wrote it.';
COMMENT ON COLUMN log.batch IS 'Its batch, counted by that process.';
COMMENT ON COLUMN log.item IS 'The proposal''s place in the batch, from 1.';

CREATE TABLE replica (
    incarnation bigint PRIMARY KEY,
    started_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    release text NOT NULL
);
COMMENT ON TABLE replica IS 'The processes that serve from this database. Rows not seen for an hour are deleted.';
COMMENT ON COLUMN replica.incarnation IS 'From the sequence incarnation, one for each start.';
COMMENT ON COLUMN replica.started_at IS 'When it started, by the database''s clock.';
COMMENT ON COLUMN replica.seen_at IS 'Its last heartbeat, by the database''s clock.';
COMMENT ON COLUMN replica.release IS 'Its version.';

CREATE TABLE lease (
    name text COLLATE "C" PRIMARY KEY,
    owner bigint NOT NULL,
    epoch bigint NOT NULL,
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE lease IS 'Who does the work that has one owner. One row for each kind of work.';
COMMENT ON COLUMN lease.name IS 'The work.';
COMMENT ON COLUMN lease.owner IS 'The incarnation that holds it.';
COMMENT ON COLUMN lease.epoch IS 'Grows with every change of owner; writes carry it, so that a late owner is refused.';
COMMENT ON COLUMN lease.expires_at IS 'By the database''s clock.';

CREATE TABLE log_cursor (
    name text COLLATE "C" PRIMARY KEY,
    pos bigint NOT NULL,
    epoch bigint NOT NULL,
    moved_at timestamptz NOT NULL
);
COMMENT ON TABLE log_cursor IS 'How far each consumer of the log has come. Deleted with its consumer.';
COMMENT ON COLUMN log_cursor.name IS 'The consumer.';
COMMENT ON COLUMN log_cursor.pos IS 'Everything up to here is done.';
COMMENT ON COLUMN log_cursor.epoch IS 'The lease''s epoch at the last write.';
COMMENT ON COLUMN log_cursor.moved_at IS 'When, by the database''s clock.';
