-- The rarer changes, one statement a kind, each element {"i": item, "n": entry, ...}. Within a batch the
-- last change of a key wins.

CREATE FUNCTION hearth_rare_conflicts_r1(p_rare jsonb)
RETURNS TABLE (item integer, why smallint, reply bigint) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF p_rare IS NULL THEN
        RETURN;
    END IF;
    IF p_rare ? 'create_account' THEN
        RETURN QUERY SELECT c.i, 3::smallint, NULL::bigint
        FROM jsonb_to_recordset(p_rare -> 'create_account') AS c (i integer, "user" bigint)
        JOIN account a ON a.user_nid = c."user";
    END IF;
    IF p_rare ? 'create_alias' THEN
        RETURN QUERY SELECT c.i, 3::smallint, NULL::bigint
        FROM jsonb_to_recordset(p_rare -> 'create_alias') AS c (i integer, alias text)
        JOIN alias a ON a.alias = c.alias;
    END IF;
    IF p_rare ? 'delete_alias' THEN
        RETURN QUERY SELECT c.i, 4::smallint, NULL::bigint
        FROM jsonb_to_recordset(p_rare -> 'delete_alias') AS c (i integer, alias text)
        WHERE NOT EXISTS (SELECT FROM alias a WHERE a.alias = c.alias);
    END IF;
    IF p_rare ? 'set_password' THEN
        RETURN QUERY SELECT c.i, 4::smallint, NULL::bigint
        FROM jsonb_to_recordset(p_rare -> 'set_password') AS c (i integer, "user" bigint)
        WHERE NOT EXISTS (SELECT FROM account a WHERE a.user_nid = c."user" AND a.deactivated_ts IS NULL);
    END IF;
    IF p_rare ? 'open_session' THEN
        RETURN QUERY SELECT c.i, 4::smallint, NULL::bigint
        FROM jsonb_to_recordset(p_rare -> 'open_session') AS c (i integer, "user" bigint)
        WHERE NOT EXISTS (SELECT FROM account a WHERE a.user_nid = c."user" AND a.deactivated_ts IS NULL)
          AND NOT coalesce(p_rare -> 'create_account' @> jsonb_build_array(jsonb_build_object('i', c.i)), false);
    END IF;
    IF p_rare ? 'use_registration_token' THEN
        RETURN QUERY SELECT c.i, 4::smallint, NULL::bigint
        FROM (SELECT u.i, u.token, row_number() OVER (PARTITION BY u.token ORDER BY u.i) AS nth
              FROM jsonb_to_recordset(p_rare -> 'use_registration_token') AS u (i integer, token text)) c
        WHERE NOT EXISTS (SELECT FROM registration_token t WHERE t.token = c.token
                          AND (t.uses_allowed IS NULL OR t.completed + c.nth <= t.uses_allowed));
    END IF;
END
$$;

CREATE FUNCTION hearth_rare_r1(p_head bigint, p_dropped integer[], p_rare jsonb)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_tag record;
BEGIN
    IF p_rare ? 'create_account' THEN
        INSERT INTO account (user_nid, password_hash, admin, created_ts, pos)
        SELECT c."user", c.password_hash, c.admin, c.ts, p_head + c.n
        FROM jsonb_to_recordset(p_rare -> 'create_account')
            AS c (i integer, n integer, "user" bigint, password_hash text, admin boolean, ts bigint)
        WHERE c.i <> ALL (p_dropped);
    END IF;
    IF p_rare ? 'set_password' THEN
        UPDATE account a SET password_hash = c.password_hash, pos = p_head + c.n
        FROM (SELECT DISTINCT ON ("user") * FROM jsonb_to_recordset(p_rare -> 'set_password')
                AS r (i integer, n integer, "user" bigint, password_hash text)
              WHERE r.i <> ALL (p_dropped) ORDER BY "user", n DESC) c
        WHERE a.user_nid = c."user";
    END IF;
    IF p_rare ? 'use_registration_token' THEN
        UPDATE registration_token t SET completed = t.completed + c.uses
        FROM (SELECT u.token, count(*)::integer AS uses
              FROM jsonb_to_recordset(p_rare -> 'use_registration_token') AS u (i integer, token text)
              WHERE u.i <> ALL (p_dropped) GROUP BY u.token) c
        WHERE t.token = c.token;
    END IF;
    IF p_rare ? 'set_standing_token' THEN
        UPDATE server SET registration_token = c.token
        FROM (SELECT r.token FROM jsonb_to_recordset(p_rare -> 'set_standing_token')
                AS r (i integer, n integer, token text)
              WHERE r.i <> ALL (p_dropped) ORDER BY r.n DESC LIMIT 1) c;
    END IF;
    IF p_rare ? 'close_session' THEN
        DELETE FROM device d
        USING jsonb_to_recordset(p_rare -> 'close_session')
            AS c (i integer, "user" bigint, device_id text, all_but text)
        WHERE c.i <> ALL (p_dropped) AND d.user_nid = c."user"
          AND (d.id = c.device_id OR (c.device_id IS NULL AND d.id IS DISTINCT FROM c.all_but));
    END IF;
    IF p_rare ? 'open_session' THEN
        INSERT INTO device (user_nid, id, display_name, created_ts, pos)
        SELECT DISTINCT ON (c."user", c.device_id) c."user", c.device_id, c.display_name, c.ts, p_head + c.n
        FROM jsonb_to_recordset(p_rare -> 'open_session')
            AS c (i integer, n integer, "user" bigint, device_id text, display_name text, ts bigint)
        WHERE c.i <> ALL (p_dropped) ORDER BY c."user", c.device_id, c.n DESC
        ON CONFLICT (user_nid, id) DO UPDATE SET pos = excluded.pos;

        DELETE FROM access_token t
        USING jsonb_to_recordset(p_rare -> 'open_session') AS c (i integer, "user" bigint, device_id text)
        WHERE c.i <> ALL (p_dropped) AND t.user_nid = c."user" AND t.device_id = c.device_id;

        INSERT INTO access_token (hash, user_nid, device_id, created_ts)
        SELECT DISTINCT ON (c."user", c.device_id) decode(c.token_hash, 'hex'), c."user", c.device_id, c.ts
        FROM jsonb_to_recordset(p_rare -> 'open_session')
            AS c (i integer, n integer, "user" bigint, device_id text, token_hash text, ts bigint)
        WHERE c.i <> ALL (p_dropped) ORDER BY c."user", c.device_id, c.n DESC;
    END IF;
    IF p_rare ? 'set_account_data' THEN
        INSERT INTO account_data (user_nid, room_nid, type, content, pos)
        SELECT DISTINCT ON (c."user", c.room, c.type) c."user", c.room, c.type, c.content, p_head + c.n
        FROM jsonb_to_recordset(p_rare -> 'set_account_data')
            AS c (i integer, n integer, "user" bigint, room bigint, type text, content text)
        WHERE c.i <> ALL (p_dropped) ORDER BY c."user", c.room, c.type, c.n DESC
        ON CONFLICT (user_nid, room_nid, type) DO UPDATE SET content = excluded.content, pos = excluded.pos;
    END IF;
    IF p_rare ? 'set_tag' THEN
        FOR v_tag IN
            SELECT * FROM jsonb_to_recordset(p_rare -> 'set_tag')
                AS c (i integer, n integer, "user" bigint, room bigint, tag text, info jsonb)
            WHERE c.i <> ALL (p_dropped) ORDER BY c.n
        LOOP
            INSERT INTO account_data AS d (user_nid, room_nid, type, content, pos)
            VALUES (v_tag."user", v_tag.room, 'm.tag',
                    jsonb_build_object('tags', CASE WHEN v_tag.info IS NULL THEN '{}'
                                               ELSE jsonb_build_object(v_tag.tag, v_tag.info) END)::text,
                    p_head + v_tag.n)
            ON CONFLICT (user_nid, room_nid, type) DO UPDATE SET pos = excluded.pos, content = jsonb_build_object(
                'tags', CASE WHEN v_tag.info IS NULL THEN coalesce(d.content::jsonb -> 'tags', '{}') - v_tag.tag
                        ELSE coalesce(d.content::jsonb -> 'tags', '{}')
                             || jsonb_build_object(v_tag.tag, v_tag.info) END)::text;
        END LOOP;
    END IF;
    IF p_rare ? 'set_profile_field' THEN
        INSERT INTO profile_field (user_nid, key, value, pos)
        SELECT DISTINCT ON (c."user", c.key) c."user", c.key, c.value, p_head + c.n
        FROM jsonb_to_recordset(p_rare -> 'set_profile_field')
            AS c (i integer, n integer, "user" bigint, key text, value text)
        WHERE c.i <> ALL (p_dropped) ORDER BY c."user", c.key, c.n DESC
        ON CONFLICT (user_nid, key) DO UPDATE SET value = excluded.value, pos = excluded.pos;
    END IF;
    IF p_rare ? 'create_alias' THEN
        INSERT INTO alias (alias, room_nid, creator_nid, pos)
        SELECT c.alias, c.room, c.creator, p_head + c.n
        FROM jsonb_to_recordset(p_rare -> 'create_alias')
            AS c (i integer, n integer, alias text, room bigint, creator bigint)
        WHERE c.i <> ALL (p_dropped);
    END IF;
    IF p_rare ? 'delete_alias' THEN
        DELETE FROM alias a
        USING jsonb_to_recordset(p_rare -> 'delete_alias') AS c (i integer, alias text)
        WHERE c.i <> ALL (p_dropped) AND a.alias = c.alias;
    END IF;
    IF p_rare ? 'publish_room' THEN
        DELETE FROM published_room p
        USING jsonb_to_recordset(p_rare -> 'publish_room') AS c (i integer, room bigint)
        WHERE c.i <> ALL (p_dropped) AND p.room_nid = c.room;

        INSERT INTO published_room (room_nid, pos)
        SELECT last.room, p_head + last.n
        FROM (SELECT DISTINCT ON (c.room) c.room, c.n, c.published
              FROM jsonb_to_recordset(p_rare -> 'publish_room')
                  AS c (i integer, n integer, room bigint, published boolean)
              WHERE c.i <> ALL (p_dropped) ORDER BY c.room, c.n DESC) last
        WHERE last.published;
    END IF;
    IF p_rare ? 'redact' THEN
        INSERT INTO redaction (target, redaction_nid)
        SELECT c.target, c.redaction
        FROM jsonb_to_recordset(p_rare -> 'redact') AS c (i integer, target text, redaction bigint)
        WHERE c.i <> ALL (p_dropped);

        UPDATE event e SET redacted_by = c.redaction
        FROM (SELECT DISTINCT ON (r.applies_to) r.applies_to, r.redaction
              FROM jsonb_to_recordset(p_rare -> 'redact')
                  AS r (i integer, n integer, redaction bigint, applies_to bigint)
              WHERE r.i <> ALL (p_dropped) AND r.applies_to IS NOT NULL ORDER BY r.applies_to, r.n) c
        WHERE e.nid = c.applies_to AND e.redacted_by IS NULL;
    END IF;
END
$$;

