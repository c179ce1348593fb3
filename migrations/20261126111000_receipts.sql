-- How far everybody has read.

CREATE TABLE receipt (
    user_nid bigint NOT NULL,
    room_nid bigint NOT NULL,
    type smallint NOT NULL,
    thread text COLLATE "C" NOT NULL,
    event_nid bigint NOT NULL,
    anchor bigint NOT NULL,
    sub bigint NOT NULL,
    ts bigint NOT NULL,
    pos bigint NOT NULL,
    PRIMARY KEY (user_nid, room_nid, type, thread)
);
CREATE INDEX receipt_room ON receipt (room_nid, pos);
COMMENT ON TABLE receipt IS 'The newest receipt of each user, room, type and thread. Trimmed with the room''s history.';
COMMENT ON COLUMN receipt.user_nid IS 'Who read.';
COMMENT ON COLUMN receipt.room_nid IS 'In which room.';
COMMENT ON COLUMN receipt.type IS '1 m.read, 2 m.read.private.';
COMMENT ON COLUMN receipt.thread IS 'Empty for all threads, main, or the id of the event that a thread begins with.';
COMMENT ON COLUMN receipt.event_nid IS 'Up to this event.';
COMMENT ON COLUMN receipt.anchor IS 'That event''s place in the timeline.';
COMMENT ON COLUMN receipt.sub IS 'The same.';
COMMENT ON COLUMN receipt.ts IS 'When it was read, milliseconds since the epoch.';
COMMENT ON COLUMN receipt.pos IS 'Log position of the last change.';

-- Receipts only move forward: one that does not is dropped.
CREATE FUNCTION hearth_receipts_conflicts_r1(p_rare jsonb)
RETURNS TABLE (item integer, why smallint, reply bigint) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF p_rare ? 'set_receipt' THEN
        RETURN QUERY SELECT c.i, 4::smallint, NULL::bigint
        FROM jsonb_to_recordset(p_rare -> 'set_receipt')
            AS c (i integer, "user" bigint, room bigint, kind smallint, thread text, anchor bigint, sub bigint)
        JOIN receipt r ON r.user_nid = c."user" AND r.room_nid = c.room AND r.type = c.kind AND r.thread = c.thread
        WHERE (r.anchor, r.sub) >= (c.anchor, c.sub);
    END IF;
END
$$;

CREATE FUNCTION hearth_receipts_r1(p_head bigint, p_dropped integer[], p_rare jsonb)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF p_rare ? 'set_receipt' THEN
        -- No batch holds two of the same key.
        INSERT INTO receipt (user_nid, room_nid, type, thread, event_nid, anchor, sub, ts, pos)
        SELECT c."user", c.room, c.kind, c.thread, c.event, c.anchor, c.sub, c.ts, p_head + c.n
        FROM jsonb_to_recordset(p_rare -> 'set_receipt')
            AS c (i integer, n integer, "user" bigint, room bigint, kind smallint, thread text, event bigint,
                  anchor bigint, sub bigint, ts bigint)
        WHERE c.i <> ALL (p_dropped)
        ON CONFLICT (user_nid, room_nid, type, thread) DO UPDATE
        SET event_nid = excluded.event_nid, anchor = excluded.anchor, sub = excluded.sub, ts = excluded.ts,
            pos = excluded.pos;
    END IF;
END
$$;
