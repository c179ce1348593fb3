-- Who is online.

CREATE TABLE presence (
    user_nid bigint PRIMARY KEY,
    presence smallint NOT NULL,
    status_msg text,
    last_active_ts bigint NOT NULL,
    currently_active boolean NOT NULL,
    pos bigint NOT NULL
);
CREATE INDEX presence_seen ON presence (presence) WHERE presence <> 1;
CREATE INDEX presence_pos ON presence (pos);
COMMENT ON TABLE presence IS 'What others are told of a user''s presence. Kept for as long as the account.';
COMMENT ON COLUMN presence.user_nid IS 'The user.';
COMMENT ON COLUMN presence.presence IS '1 offline, 2 unavailable, 3 online.';
COMMENT ON COLUMN presence.status_msg IS 'What they say of it themselves.';
COMMENT ON COLUMN presence.last_active_ts IS 'When they last did something, milliseconds since the epoch; as of the last transition.';
COMMENT ON COLUMN presence.currently_active IS 'They do something right now.';
COMMENT ON COLUMN presence.pos IS 'Log position of the last change.';

CREATE TABLE presence_session (
    user_nid bigint NOT NULL,
    incarnation bigint NOT NULL,
    presence smallint NOT NULL,
    last_active_ts bigint NOT NULL,
    PRIMARY KEY (user_nid, incarnation)
);
CREATE INDEX presence_session_incarnation ON presence_session (incarnation);
COMMENT ON TABLE presence_session IS 'What each process sees of a user''s devices. Deleted when it sees none, or with the process.';
COMMENT ON COLUMN presence_session.user_nid IS 'The user.';
COMMENT ON COLUMN presence_session.incarnation IS 'The process.';
COMMENT ON COLUMN presence_session.presence IS '2 unavailable, 3 online.';
COMMENT ON COLUMN presence_session.last_active_ts IS 'As in presence, of these devices alone.';

-- Two processes that see one user agree by turns: what was worked out from an older row is dropped.
CREATE FUNCTION hearth_presence_conflicts_r1(p_rare jsonb)
RETURNS TABLE (item integer, why smallint, reply bigint) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF p_rare ? 'set_presence' THEN
        RETURN QUERY SELECT c.i, 4::smallint, NULL::bigint
        FROM jsonb_to_recordset(p_rare -> 'set_presence') AS c (i integer, "user" bigint, base bigint)
        JOIN presence p ON p.user_nid = c."user"
        WHERE p.pos > c.base;
    END IF;
END
$$;

CREATE FUNCTION hearth_presence_r1(p_head bigint, p_dropped integer[], p_rare jsonb)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF p_rare ? 'set_presence' THEN
        -- No batch holds two of the same user.
        INSERT INTO presence (user_nid, presence, status_msg, last_active_ts, currently_active, pos)
        SELECT c."user", c.presence, c.status_msg, c.last_active_ts, c.currently_active, p_head + c.n
        FROM jsonb_to_recordset(p_rare -> 'set_presence')
            AS c (i integer, n integer, "user" bigint, presence smallint, status_msg text, last_active_ts bigint,
                  currently_active boolean)
        WHERE c.i <> ALL (p_dropped)
        ON CONFLICT (user_nid) DO UPDATE
        SET presence = excluded.presence, status_msg = excluded.status_msg,
            last_active_ts = excluded.last_active_ts, currently_active = excluded.currently_active,
            pos = excluded.pos;

        DELETE FROM presence_session s
        USING jsonb_to_recordset(p_rare -> 'set_presence')
            AS c (i integer, "user" bigint, process bigint, seen smallint, gone bigint[])
        WHERE c.i <> ALL (p_dropped) AND s.user_nid = c."user"
          AND (s.incarnation = ANY (c.gone) OR (s.incarnation = c.process AND c.seen = 1));

        INSERT INTO presence_session (user_nid, incarnation, presence, last_active_ts)
        SELECT c."user", c.process, c.seen, c.seen_active_ts
        FROM jsonb_to_recordset(p_rare -> 'set_presence')
            AS c (i integer, "user" bigint, process bigint, seen smallint, seen_active_ts bigint)
        WHERE c.i <> ALL (p_dropped) AND c.seen <> 1
        ON CONFLICT (user_nid, incarnation) DO UPDATE
        SET presence = excluded.presence, last_active_ts = excluded.last_active_ts;
    END IF;
END
$$;
