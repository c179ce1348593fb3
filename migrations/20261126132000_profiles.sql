-- Showing changed profiles in rooms.

CREATE TABLE profile_spread (
    user_nid bigint PRIMARY KEY,
    pos bigint NOT NULL
);
COMMENT ON TABLE profile_spread IS 'Users whose rooms are still to show a change of their profile. Deleted when all rooms show it.';
COMMENT ON COLUMN profile_spread.user_nid IS 'The user.';
COMMENT ON COLUMN profile_spread.pos IS 'Log position of the last change.';

CREATE FUNCTION hearth_profiles_r1(p_head bigint, p_dropped integer[], p_rare jsonb)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF p_rare ? 'set_profile_field' THEN
        INSERT INTO profile_spread (user_nid, pos)
        SELECT c."user", max(p_head + c.n)
        FROM jsonb_to_recordset(p_rare -> 'set_profile_field')
            AS c (i integer, n integer, "user" bigint, spread boolean)
        WHERE c.spread AND c.i <> ALL (p_dropped)
        GROUP BY c."user"
        ON CONFLICT (user_nid) DO UPDATE SET pos = excluded.pos;
    END IF;
END
$$;
