/** A user's device, and what it sees. */

import { randomBytes } from "node:crypto";
import { Failure, show } from "./report.mjs";
import { quiet, sdk } from "./sdk.mjs";

const {
    ClientEvent,
    createClient,
    EventType,
    Filter,
    MatrixError,
    MemoryStore,
    MsgType,
    PendingEventOrdering,
    RoomEvent,
    SyncState,
} = sdk;

// Above the largest burst, below the messages of the absence: only the latter is limited.
export const TIMELINE_LIMIT = 50;
export const LONG_POLL_MS = 30_000;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export const random = (bytes) => randomBytes(bytes).toString("hex");
export const seconds = (since) => (performance.now() - since) / 1000;

/** The error that a request ended with, as the status and errcode that the server gave. */
export async function refusal(request) {
    try {
        await request;
        return "no error";
    } catch (error) {
        return error instanceof MatrixError ? [error.httpStatus, error.errcode] : String(error);
    }
}

/**
 * A store in memory that goes on from its token when the client is started again, as the
 * browser's IndexedDB store does.
 */
class LastingStore extends MemoryStore {
    getSavedSyncToken() {
        return Promise.resolve(this.getSyncToken());
    }
}

/** One device of one user: a started client and all that its sync loop brought. */
export class Person {
    /** Every /sync that was answered: its query and its reply. */
    syncs = [];
    /** Number of /messages requests. */
    pages = 0;
    /** What arrived live: { room, id, sender, type, body }. */
    arrived = [];
    errors = [];

    constructor(name, baseUrl, login) {
        this.name = name;
        this.client = createClient({
            baseUrl,
            accessToken: login.access_token,
            userId: login.user_id,
            deviceId: login.device_id,
            store: new LastingStore(),
            fetchFn: (url, options) => this.fetch(url, options),
            timelineSupport: true,
            logger: quiet,
        });
        this.client.on(RoomEvent.Timeline, (event, room, _toStart, _removed, data) => {
            if (data.liveEvent) {
                const { event_id: id, sender, type, content } = event.event;
                this.arrived.push({ room: room.roomId, id, sender, type, body: content.body });
            }
        });
        this.client.on(ClientEvent.SyncUnexpectedError, (error) => this.errors.push(String(error)));
        this.client.on(ClientEvent.Sync, (state, _, data) => {
            if (state === SyncState.Error) this.errors.push(String(data?.error));
        });
    }

    async fetch(url, options) {
        const response = await fetch(url, options);
        const { pathname, searchParams } = new URL(url);
        if (pathname.endsWith("/messages")) this.pages += 1;
        if (pathname.endsWith("/sync") && response.ok) {
            const reply = await response.clone().json();
            this.syncs.push({ query: Object.fromEntries(searchParams), reply });
        }
        return response;
    }

    get userId() {
        return this.client.getUserId();
    }

    async start() {
        const filter = new Filter(this.userId);
        filter.setTimelineLimit(TIMELINE_LIMIT);
        await this.client.startClient({
            filter,
            initialSyncLimit: 8,
            lazyLoadMembers: true,
            pendingEventOrdering: PendingEventOrdering.Detached,
            pollTimeout: LONG_POLL_MS,
            threadSupport: true,
        });
        await this.until("the first sync", () => this.client.getSyncState() === SyncState.Syncing);
    }

    room(roomId) {
        const room = this.client.getRoom(roomId);
        if (!room) throw new Failure(`${this.name} expected the room ${roomId}, the client has none`);
        return room;
    }

    membership(roomId) {
        return this.client.getRoom(roomId)?.getMyMembership();
    }

    has(roomId, eventId) {
        return this.arrived.some((event) => event.room === roomId && event.id === eventId);
    }

    messages(roomId) {
        const inRoom = this.arrived.filter((event) => event.room === roomId && event.type === EventType.RoomMessage);
        return inRoom.map(({ id, sender, body }) => ({ id, sender, body }));
    }

    /** The room's entries of one section, over all syncs. */
    section(name, roomId, from = 0) {
        return this.syncs.slice(from).flatMap(({ reply }) => reply.rooms?.[name]?.[roomId] ?? []);
    }

    async until(what, happened, limit = 20) {
        const started = performance.now();
        while (!happened()) {
            if (seconds(started) > limit) {
                const state = `state ${this.client.getSyncState()}, errors ${show(this.errors)}`;
                const last = show(this.syncs.at(-1) ?? "no sync at all").slice(0, 2000);
                throw new Failure(`${this.name} waited ${limit} s for ${what}; ${state}; the last sync was ${last}`);
            }
            await sleep(10);
        }
    }

    async say(roomId, body) {
        const txn = random(8);
        const { event_id: id } = await this.client.sendMessage(roomId, { msgtype: MsgType.Text, body }, txn);
        return { id, sender: this.userId, body, txn };
    }
}

/** Messages in the shape in which the scenario remembers them; a redacted one has no body. */
export function told(events) {
    return events
        .filter((event) => event.getType() === EventType.RoomMessage)
        .map((event) => ({ id: event.getId(), sender: event.getSender(), body: event.getContent().body }));
}
