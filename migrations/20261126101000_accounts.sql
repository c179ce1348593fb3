-- What users do with their accounts and devices.

CREATE TABLE device_seen (
    user_nid bigint NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    ip text,
    user_agent text,
    ts bigint NOT NULL,
    PRIMARY KEY (user_nid, device_id)
);
COMMENT ON TABLE device_seen IS 'When devices were last used. Trimmed by the clean-up once the device is gone: a reference to the device would have the log''s writer wait for whoever writes here.';
COMMENT ON COLUMN device_seen.user_nid IS 'The device''s owner.';
COMMENT ON COLUMN device_seen.device_id IS 'The device.';
COMMENT ON COLUMN device_seen.ip IS 'The client''s address; null where it came by a Unix socket.';
COMMENT ON COLUMN device_seen.user_agent IS 'What the client calls itself.';
COMMENT ON COLUMN device_seen.ts IS 'Milliseconds since the epoch.';

-- A device that is gone has no name.
CREATE FUNCTION hearth_accounts_conflicts_r1(p_rare jsonb)
RETURNS TABLE (item integer, why smallint, reply bigint) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF p_rare ? 'rename_device' THEN
        RETURN QUERY SELECT c.i, 4::smallint, NULL::bigint
        FROM jsonb_to_recordset(p_rare -> 'rename_device') AS c (i integer, "user" bigint, device_id text)
        WHERE NOT EXISTS (SELECT FROM device d WHERE d.user_nid = c."user" AND d.id = c.device_id);
    END IF;
END
$$;

CREATE FUNCTION hearth_accounts_r1(p_head bigint, p_dropped integer[], p_rare jsonb)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF p_rare ? 'rename_device' THEN
        UPDATE device d SET display_name = c.display_name, pos = p_head + c.n
        FROM (SELECT DISTINCT ON (r."user", r.device_id) r.*
              FROM jsonb_to_recordset(p_rare -> 'rename_device')
                  AS r (i integer, n integer, "user" bigint, device_id text, display_name text)
              WHERE r.i <> ALL (p_dropped) ORDER BY r."user", r.device_id, r.n DESC) c
        WHERE d.user_nid = c."user" AND d.id = c.device_id;
    END IF;
END
$$;
