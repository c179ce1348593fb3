-- What counts as unread.

-- An event's weight is fixed when it is appended; rows from before, and what is fetched later, have none.
ALTER TABLE timeline
    ADD COLUMN sender_nid bigint,
    ADD COLUMN thread text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN counts boolean,
    ADD COLUMN total bigint,
    ADD COLUMN thread_total bigint;
CREATE INDEX timeline_sender ON timeline (room_nid, sender_nid, thread, anchor) WHERE sender_nid IS NOT NULL;
CREATE INDEX timeline_thread ON timeline (room_nid, thread, anchor) WHERE thread > '';
COMMENT ON COLUMN timeline.sender_nid IS 'The event''s sender; null for one fetched later.';
COMMENT ON COLUMN timeline.thread IS 'Id of the event that its thread begins with; empty outside threads.';
COMMENT ON COLUMN timeline.counts IS 'Notifies every member but its sender, by the default push rules.';
COMMENT ON COLUMN timeline.total IS 'How many events outside threads counted in the room up to and with this one.';
COMMENT ON COLUMN timeline.thread_total IS 'How many events counted in its thread up to and with this one; null outside threads.';

CREATE TABLE highlight (
    room_nid bigint NOT NULL,
    user_nid bigint NOT NULL,
    thread text COLLATE "C" NOT NULL,
    pos bigint NOT NULL,
    event_nid bigint NOT NULL,
    sender_nid bigint NOT NULL,
    beyond boolean NOT NULL,
    PRIMARY KEY (room_nid, user_nid, thread, pos)
);
CREATE INDEX highlight_event ON highlight (event_nid);
COMMENT ON TABLE highlight IS 'Events that are highlighted for somebody; deleted when redacted. Trimmed with the room''s history.';
COMMENT ON COLUMN highlight.room_nid IS 'The room.';
COMMENT ON COLUMN highlight.user_nid IS 'For whom; zero for every member but the sender.';
COMMENT ON COLUMN highlight.thread IS 'Id of the event that its thread begins with; empty outside threads.';
COMMENT ON COLUMN highlight.pos IS 'Log position of the event.';
COMMENT ON COLUMN highlight.event_nid IS 'The event.';
COMMENT ON COLUMN highlight.sender_nid IS 'Its sender.';
COMMENT ON COLUMN highlight.beyond IS 'It notifies this user although it counts for nobody else.';

CREATE TABLE withdrawn (
    room_nid bigint NOT NULL,
    thread text COLLATE "C" NOT NULL,
    anchor bigint NOT NULL,
    PRIMARY KEY (room_nid, thread, anchor)
);
COMMENT ON TABLE withdrawn IS 'Events that counted and were redacted since. Trimmed with the room''s history.';
COMMENT ON COLUMN withdrawn.room_nid IS 'The room.';
COMMENT ON COLUMN withdrawn.thread IS 'Id of the event that its thread begins with; empty outside threads.';
COMMENT ON COLUMN withdrawn.anchor IS 'Place of the event in the timeline.';

CREATE FUNCTION hearth_unread_r1(p_head bigint, p_dropped integer[], p_rare jsonb)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF p_rare ? 'highlight' THEN
        INSERT INTO highlight (room_nid, user_nid, thread, pos, event_nid, sender_nid, beyond)
        SELECT c.room, c."user", c.thread, p_head + c.n, c.event, c.sender, c.beyond
        FROM jsonb_to_recordset(p_rare -> 'highlight')
            AS c (i integer, n integer, room bigint, "user" bigint, thread text, event bigint, sender bigint,
                  beyond boolean)
        WHERE c.i <> ALL (p_dropped);
    END IF;

    IF p_rare ? 'redact' THEN
        INSERT INTO withdrawn (room_nid, thread, anchor)
        SELECT t.room_nid, t.thread, t.anchor
        FROM jsonb_to_recordset(p_rare -> 'redact') AS c (i integer, applies_to bigint)
        JOIN timeline t ON t.event_nid = c.applies_to
        WHERE c.i <> ALL (p_dropped) AND t.counts
        ON CONFLICT DO NOTHING;

        DELETE FROM highlight h
        USING jsonb_to_recordset(p_rare -> 'redact') AS c (i integer, applies_to bigint)
        WHERE h.event_nid = c.applies_to AND c.i <> ALL (p_dropped);
    END IF;
END
$$;
