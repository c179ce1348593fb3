-- The writer's one call, as before but for the totals of unread counts: the newest of a room is looked up once for
-- a batch, not once for each of its events.

CREATE OR REPLACE FUNCTION hearth_commit_r2(
    p_incarnation bigint,
    p_batch bigint,
    -- One element for each item of the batch.
    p_item_room bigint[],
    p_item_base bigint[],
    -- One element for each entry: what becomes a log row. Entry n gets position head + n.
    p_log_item integer[],
    p_log_kind smallint[],
    p_log_room bigint[],
    p_log_subject bigint[],
    p_log_ref bigint[],
    p_log_payload text[],
    -- Transaction ids claimed.
    p_txn_item integer[],
    p_txn_user bigint[],
    p_txn_device text[],
    p_txn_scope text[],
    p_txn_id text[],
    p_txn_reply bigint[],
    p_txn_ts bigint,
    -- Events.
    p_event_entry integer[],
    p_event_nid bigint[],
    p_event_id text[],
    p_event_type text[],
    p_event_state_key bigint[],
    p_event_depth bigint[],
    p_event_ts bigint[],
    p_event_root_before bigint[],
    p_event_auth text[],
    p_event_auth_order integer[],
    p_event_device text[],
    p_event_txn text[],
    p_event_json text[],
    p_event_heads text[],
    p_event_thread text[],
    p_event_counts boolean[],
    -- State tree nodes that belong to an item.
    p_node_item integer[],
    p_node_id bigint[],
    p_node_data bytea[],
    -- Changes of a room's current state.
    p_state_entry integer[],
    p_state_root bigint[],
    p_state_joined bigint[],
    p_state_invited bigint[],
    -- Changes of membership.
    p_member_entry integer[],
    p_member_user bigint[],
    p_member_membership smallint[],
    p_member_forgotten boolean[],
    p_member_event bigint[],
    p_member_stripped text[],
    -- Everything rarer: an object of arrays, one key a kind; null where there is none.
    p_rare jsonb,
    OUT head bigint,
    OUT dropped_item integer[],
    OUT dropped_why smallint[],
    OUT dropped_reply bigint[]
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_dropped integer[];
    v_newest bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(7236838441);

    -- Messages, which are nearly all there is, are one statement: decide what is dropped, then insert the rest.
    -- Why something is dropped: 1 the room moved on, 2 the transaction id was used, 3 the name is taken,
    -- 4 nothing there to change, 5 an earlier item of the same room was dropped.
    WITH start AS MATERIALIZED (
        SELECT coalesce(max(l.pos), 0) AS pos FROM log l
    ), item AS (
        SELECT i.item::integer, i.room, i.base
        FROM unnest(p_item_room, p_item_base) WITH ORDINALITY AS i (room, base, item)
    ), moved AS (
        SELECT i.item, 1::smallint AS why, NULL::bigint AS reply
        FROM item i
        WHERE i.room IN (
            SELECT r.room FROM (SELECT room, min(base) AS base FROM item WHERE room IS NOT NULL GROUP BY room) r
            WHERE EXISTS (SELECT FROM timeline t WHERE t.room_nid = r.room AND t.anchor > r.base)
               OR EXISTS (SELECT FROM room_state s WHERE s.room_nid = r.room AND s.pos > r.base))
    ), used AS (
        SELECT c.item, 2::smallint AS why, t.reply_nid AS reply
        FROM unnest(p_txn_item, p_txn_user, p_txn_device, p_txn_scope, p_txn_id)
            AS c (item, user_nid, device_id, scope, txn_id)
        JOIN transaction_id t USING (user_nid, device_id, scope, txn_id)
    ), own AS (
        SELECT DISTINCT ON (item) item, why, reply
        FROM (SELECT * FROM used UNION ALL SELECT * FROM moved
              UNION ALL SELECT * FROM hearth_rare_conflicts_r2(p_rare)) d
        ORDER BY item, why DESC
    ), every AS (
        SELECT item, why, reply FROM own
        UNION ALL
        SELECT DISTINCT later.item, 5::smallint, NULL::bigint
        FROM own JOIN item earlier ON earlier.item = own.item
        JOIN item later ON later.room = earlier.room AND later.item > earlier.item
        WHERE NOT EXISTS (SELECT FROM own o WHERE o.item = later.item)
    ), dropped AS MATERIALIZED (
        SELECT coalesce(array_agg(e.item ORDER BY e.item), '{}') AS items, array_agg(e.why ORDER BY e.item) AS why,
               array_agg(e.reply ORDER BY e.item) AS reply
        FROM every e
    ), logged AS (
        INSERT INTO log (pos, kind, room_nid, subject_nid, ref_nid, payload, incarnation, batch, item)
        SELECT s.pos + u.n, u.kind, u.room, u.subject, u.ref, u.payload, p_incarnation, p_batch, u.item
        FROM start s, dropped d,
            unnest(p_log_item, p_log_kind, p_log_room, p_log_subject, p_log_ref, p_log_payload)
            WITH ORDINALITY AS u (item, kind, room, subject, ref, payload, n)
        WHERE u.item <> ALL (d.items)
        RETURNING pos
    ), claimed AS (
        INSERT INTO transaction_id (user_nid, device_id, scope, txn_id, reply_nid, created_ts)
        SELECT u.user_nid, u.device_id, u.scope, u.txn_id, u.reply, p_txn_ts
        FROM dropped d, unnest(p_txn_item, p_txn_user, p_txn_device, p_txn_scope, p_txn_id, p_txn_reply)
            AS u (item, user_nid, device_id, scope, txn_id, reply)
        WHERE u.item <> ALL (d.items)
    ), appended AS (
        INSERT INTO event (nid, id, room_nid, type, state_key_nid, sender_nid, depth, origin_server_ts, outlier,
                           rejected, soft_failed, partial_state, root_before, auth_events, auth_order, device_id,
                           txn_id, json)
        SELECT u.nid, u.id, p_log_room[u.entry], u.type, u.state_key, p_log_subject[u.entry], u.depth, u.ts, false,
               false, false, false, u.root_before, u.auth::bigint[], u.auth_order, u.device, u.txn, u.json
        FROM dropped d, unnest(p_event_entry, p_event_nid, p_event_id, p_event_type, p_event_state_key,
                               p_event_depth, p_event_ts, p_event_root_before, p_event_auth, p_event_auth_order,
                               p_event_device, p_event_txn, p_event_json)
            AS u (entry, nid, id, type, state_key, depth, ts, root_before, auth, auth_order, device, txn, json)
        WHERE p_log_item[u.entry] <> ALL (d.items)
    ), told AS MATERIALIZED (
        SELECT p_log_room[u.entry] AS room, p_log_subject[u.entry] AS sender, u.*
        FROM dropped d, unnest(p_event_entry, p_event_nid, p_event_heads, p_event_thread, p_event_counts)
            AS u (entry, nid, heads, thread, counts)
        WHERE p_log_item[u.entry] <> ALL (d.items)
    ), counted AS (
        SELECT r.room, (SELECT t.total FROM timeline t WHERE t.room_nid = r.room
                        ORDER BY t.anchor DESC, t.sub DESC LIMIT 1) AS total
        FROM (SELECT DISTINCT room FROM told) r
    ), counted_thread AS (
        SELECT r.room, r.thread, (SELECT t.thread_total FROM timeline t
                                  WHERE t.room_nid = r.room AND t.thread = r.thread AND t.thread > ''
                                  ORDER BY t.anchor DESC LIMIT 1) AS total
        FROM (SELECT DISTINCT room, thread FROM told WHERE thread > '') r
    ), placed AS (
        INSERT INTO timeline (room_nid, anchor, sub, event_nid, heads, sender_nid, thread, counts, total, thread_total)
        SELECT e.room, s.pos + e.entry, 0, e.nid, e.heads::bigint[], e.sender, e.thread, e.counts,
               coalesce(c.total, 0) + sum((e.counts AND e.thread = '')::integer)
                   OVER (PARTITION BY e.room ORDER BY e.entry ROWS UNBOUNDED PRECEDING),
               CASE WHEN e.thread > '' THEN coalesce(t.total, 0) + sum(e.counts::integer)
                   OVER (PARTITION BY e.room, e.thread ORDER BY e.entry ROWS UNBOUNDED PRECEDING) END
        FROM start s, told e LEFT JOIN counted c USING (room) LEFT JOIN counted_thread t USING (room, thread)
    )
    -- The newest row there is: the numbers of dropped entries at the end will be given out again.
    SELECT s.pos, d.items, d.why, d.reply, coalesce((SELECT max(l.pos) FROM logged l), s.pos)
    INTO head, v_dropped, dropped_why, dropped_reply, v_newest
    FROM start s, dropped d;
    dropped_item := v_dropped;

    IF cardinality(p_node_id) > 0 THEN
        INSERT INTO state_node (id, data)
        SELECT u.id, u.data FROM unnest(p_node_item, p_node_id, p_node_data) AS u (item, id, data)
        WHERE u.item <> ALL (v_dropped);
    END IF;

    IF cardinality(p_state_entry) > 0 THEN
        INSERT INTO room_state (room_nid, pos, root, joined, invited)
        SELECT p_log_room[u.entry], head + u.entry, u.root, u.joined, u.invited
        FROM unnest(p_state_entry, p_state_root, p_state_joined, p_state_invited) AS u (entry, root, joined, invited)
        WHERE p_log_item[u.entry] <> ALL (v_dropped);
    END IF;

    IF cardinality(p_member_entry) > 0 THEN
        INSERT INTO membership (user_nid, room_nid, pos, membership, forgotten, event_nid, stripped_state)
        SELECT u.user_nid, p_log_room[u.entry], head + u.entry, u.membership, u.forgotten, u.event_nid, u.stripped
        FROM unnest(p_member_entry, p_member_user, p_member_membership, p_member_forgotten, p_member_event,
                    p_member_stripped) AS u (entry, user_nid, membership, forgotten, event_nid, stripped)
        WHERE p_log_item[u.entry] <> ALL (v_dropped);
    END IF;

    IF p_rare IS NOT NULL THEN
        PERFORM hearth_rare_r2(head, v_dropped, p_rare);
    END IF;

    PERFORM pg_notify('hearth', p_incarnation || ':' || v_newest);
END
$$;
