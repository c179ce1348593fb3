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

ALTER TABLE access_token
    ADD COLUMN expires_ts bigint,
    ADD COLUMN refresh_hash bytea CHECK (octet_length(refresh_hash) = 32),
    ADD COLUMN unused boolean NOT NULL DEFAULT false;
CREATE UNIQUE INDEX access_token_refresh ON access_token (refresh_hash);
COMMENT ON COLUMN access_token.expires_ts IS 'Milliseconds since the epoch; null for one that lasts until logout. The row stays for its refresh token.';
COMMENT ON COLUMN access_token.refresh_hash IS 'SHA-256 of the refresh token given out with it; null where there is none.';
COMMENT ON COLUMN access_token.unused IS 'It came of a refresh and was never used: the token that was refreshed stands beside it until it is.';

CREATE TABLE login_token (
    hash bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    user_nid bigint NOT NULL REFERENCES account (user_nid),
    expires_ts bigint NOT NULL
);
CREATE INDEX login_token_user ON login_token (user_nid);
CREATE INDEX login_token_expires ON login_token (expires_ts);
COMMENT ON TABLE login_token IS 'Tokens with which one device logs another in. Deleted by their use; trimmed when they expired.';
COMMENT ON COLUMN login_token.hash IS 'SHA-256 of the token; the token itself is not kept.';
COMMENT ON COLUMN login_token.user_nid IS 'Who is logged in by it.';
COMMENT ON COLUMN login_token.expires_ts IS 'Milliseconds since the epoch.';

ALTER TABLE account
    ADD COLUMN erased boolean NOT NULL DEFAULT false,
    ADD COLUMN locked boolean NOT NULL DEFAULT false,
    ADD COLUMN suspended boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN account.locked IS 'Nothing can be done with it but log out, until an administrator unlocks it.';
COMMENT ON COLUMN account.suspended IS 'It can read and leave, but not take part, until an administrator lifts that.';
CREATE INDEX account_erased ON account (user_nid) WHERE erased;
COMMENT ON COLUMN account.erased IS 'What the user said is shown only to those who were in the room when it was said.';

CREATE TABLE departure (
    user_nid bigint PRIMARY KEY REFERENCES account (user_nid),
    ts bigint NOT NULL,
    due_ts bigint NOT NULL
);
CREATE INDEX departure_due ON departure (due_ts);
COMMENT ON TABLE departure IS 'Users whose account ended and who are being seen out of their rooms. Deleted when that is done.';
COMMENT ON COLUMN departure.user_nid IS 'The user.';
COMMENT ON COLUMN departure.ts IS 'When the account ended, milliseconds since the epoch.';
COMMENT ON COLUMN departure.due_ts IS 'When they are to be looked after next, milliseconds since the epoch.';

CREATE TABLE openid_token (
    hash bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    user_nid bigint NOT NULL REFERENCES account (user_nid),
    expires_ts bigint NOT NULL
);
CREATE INDEX openid_token_expires ON openid_token (expires_ts);
COMMENT ON TABLE openid_token IS 'Tokens that tell third parties who somebody is, and nothing else. Trimmed when they expired.';
COMMENT ON COLUMN openid_token.hash IS 'SHA-256 of the token; the token itself is not kept.';
COMMENT ON COLUMN openid_token.user_nid IS 'Who it tells of.';
COMMENT ON COLUMN openid_token.expires_ts IS 'Milliseconds since the epoch.';

-- A device that is gone has no name, a refresh token that is gone refreshes nothing, and an account ends once.
CREATE FUNCTION hearth_accounts_conflicts_r1(p_rare jsonb)
RETURNS TABLE (item integer, why smallint, reply bigint) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF p_rare ? 'rename_device' THEN
        RETURN QUERY SELECT c.i, 4::smallint, NULL::bigint
        FROM jsonb_to_recordset(p_rare -> 'rename_device') AS c (i integer, "user" bigint, device_id text)
        WHERE NOT EXISTS (SELECT FROM device d WHERE d.user_nid = c."user" AND d.id = c.device_id);
    END IF;
    IF p_rare ? 'refresh_session' THEN
        RETURN QUERY SELECT c.i, 4::smallint, NULL::bigint
        FROM jsonb_to_recordset(p_rare -> 'refresh_session') AS c (i integer, used_hash text)
        WHERE NOT EXISTS (SELECT FROM access_token t WHERE t.refresh_hash = decode(c.used_hash, 'hex'));
    END IF;
    IF p_rare ? 'deactivate_account' THEN
        RETURN QUERY SELECT c.i, 4::smallint, NULL::bigint
        FROM jsonb_to_recordset(p_rare -> 'deactivate_account') AS c (i integer, "user" bigint)
        WHERE NOT EXISTS (SELECT FROM account a WHERE a.user_nid = c."user" AND a.deactivated_ts IS NULL);
    END IF;
    IF p_rare ? 'restrict_account' THEN
        RETURN QUERY SELECT c.i, 4::smallint, NULL::bigint
        FROM jsonb_to_recordset(p_rare -> 'restrict_account') AS c (i integer, "user" bigint)
        WHERE NOT EXISTS (SELECT FROM account a WHERE a.user_nid = c."user" AND a.deactivated_ts IS NULL);
    END IF;
END
$$;

CREATE FUNCTION hearth_accounts_r1(p_head bigint, p_dropped integer[], p_rare jsonb)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_ended record;
BEGIN
    IF p_rare ? 'rename_device' THEN
        UPDATE device d SET display_name = c.display_name, pos = p_head + c.n
        FROM (SELECT DISTINCT ON (r."user", r.device_id) r.*
              FROM jsonb_to_recordset(p_rare -> 'rename_device')
                  AS r (i integer, n integer, "user" bigint, device_id text, display_name text)
              WHERE r.i <> ALL (p_dropped) ORDER BY r."user", r.device_id, r.n DESC) c
        WHERE d.user_nid = c."user" AND d.id = c.device_id;
    END IF;
    -- After open_session, which made the token. No batch holds two changes of one device's tokens.
    IF p_rare ? 'make_refreshable' THEN
        UPDATE access_token t SET expires_ts = c.expires_ts, refresh_hash = decode(c.refresh_hash, 'hex')
        FROM jsonb_to_recordset(p_rare -> 'make_refreshable')
            AS c (i integer, token_hash text, refresh_hash text, expires_ts bigint)
        WHERE c.i <> ALL (p_dropped) AND t.hash = decode(c.token_hash, 'hex');
    END IF;
    IF p_rare ? 'refresh_session' THEN
        DELETE FROM access_token t
        USING jsonb_to_recordset(p_rare -> 'refresh_session')
            AS c (i integer, "user" bigint, device_id text, used_hash text)
        WHERE c.i <> ALL (p_dropped) AND t.user_nid = c."user" AND t.device_id = c.device_id
          AND t.refresh_hash IS DISTINCT FROM decode(c.used_hash, 'hex');

        INSERT INTO access_token (hash, user_nid, device_id, created_ts, expires_ts, refresh_hash, unused)
        SELECT decode(c.token_hash, 'hex'), c."user", c.device_id, c.ts, c.expires_ts,
               decode(c.refresh_hash, 'hex'), true
        FROM jsonb_to_recordset(p_rare -> 'refresh_session')
            AS c (i integer, "user" bigint, device_id text, token_hash text, refresh_hash text, expires_ts bigint,
                  ts bigint)
        WHERE c.i <> ALL (p_dropped);
    END IF;
    IF p_rare ? 'confirm_token' THEN
        UPDATE access_token t SET unused = false
        FROM jsonb_to_recordset(p_rare -> 'confirm_token') AS c (i integer, token_hash text)
        WHERE c.i <> ALL (p_dropped) AND t.hash = decode(c.token_hash, 'hex');

        DELETE FROM access_token t
        USING jsonb_to_recordset(p_rare -> 'confirm_token')
            AS c (i integer, "user" bigint, device_id text, token_hash text)
        WHERE c.i <> ALL (p_dropped) AND t.user_nid = c."user" AND t.device_id = c.device_id
          AND t.hash <> decode(c.token_hash, 'hex')
          AND EXISTS (SELECT FROM access_token n WHERE n.hash = decode(c.token_hash, 'hex'));
    END IF;
    -- No batch holds two of the same account.
    IF p_rare ? 'restrict_account' THEN
        UPDATE account a SET locked = coalesce(c.locked, a.locked), suspended = coalesce(c.suspended, a.suspended),
                             pos = p_head + c.n
        FROM jsonb_to_recordset(p_rare -> 'restrict_account')
            AS c (i integer, n integer, "user" bigint, locked boolean, suspended boolean)
        WHERE c.i <> ALL (p_dropped) AND a.user_nid = c."user";
    END IF;
    -- Last, so that nothing of the same batch outlives it.
    IF p_rare ? 'deactivate_account' THEN
        FOR v_ended IN
            SELECT * FROM jsonb_to_recordset(p_rare -> 'deactivate_account')
                AS c (i integer, n integer, "user" bigint, erase boolean, ts bigint)
            WHERE c.i <> ALL (p_dropped)
        LOOP
            UPDATE account SET deactivated_ts = v_ended.ts, erased = v_ended.erase, password_hash = NULL,
                               pos = p_head + v_ended.n
            WHERE user_nid = v_ended."user";
            DELETE FROM device WHERE user_nid = v_ended."user";
            DELETE FROM login_token WHERE user_nid = v_ended."user";
            DELETE FROM profile_field WHERE user_nid = v_ended."user";
            INSERT INTO departure (user_nid, ts, due_ts) VALUES (v_ended."user", v_ended.ts, v_ended.ts);
        END LOOP;
    END IF;
END
$$;
