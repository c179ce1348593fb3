/**
 * A long list of rooms, as matrix-js-sdk shows it by sliding sync.
 *
 * Usage: sliding.mjs BASE_URL [REGISTRATION_TOKEN]
 *
 * Everything is seen through the SDK's own rooms; what others do goes over plain HTTP.
 */

import { must, register } from "./account.mjs";
import { Failure, Report } from "./report.mjs";
import { quiet, sdk } from "./sdk.mjs";

const { SlidingSync } = await import("matrix-js-sdk/lib/sliding-sync.js");

const ROOMS = 12;
const SHOWN = 5;
// How long a request waits, and how long something may take to be seen, in milliseconds.
const POLL_MS = 3000;
const PATIENCE_MS = 20000;
const STATE = [
    ["m.room.name", ""],
    ["m.room.topic", ""],
    ["m.room.create", ""],
    ["m.room.power_levels", ""],
    ["m.room.member", "$ME"],
    ["m.room.member", "$LAZY"],
];

class Sliding {
    report = new Report();
    check = (...facts) => this.report.check(...facts);
    number = 0;

    constructor(baseUrl, token) {
        this.baseUrl = baseUrl;
        this.token = token;
    }

    must(...request) {
        return must(this.baseUrl, ...request);
    }

    say(person, room, body) {
        const path = `/rooms/${encodeURIComponent(room)}/send/m.room.message/${this.number++}`;
        return this.must(person, "PUT", path, { msgtype: "m.text", body });
    }

    /** Waits until something is to be seen. */
    async until(what, seen) {
        const deadline = Date.now() + PATIENCE_MS;
        while (!seen()) {
            if (Date.now() > deadline) throw new Failure(`this was never seen: ${what}`);
            await new Promise((again) => setTimeout(again, 50));
        }
        this.check(what, true);
    }

    bodies(room) {
        const events = this.client.getRoom(room)?.getLiveTimeline().getEvents() ?? [];
        return events.filter((event) => event.getType() === "m.room.message").map((event) => event.getContent().body);
    }

    async prepare() {
        this.anna = await register(this.baseUrl, "anna", this.token);
        this.bert = await register(this.baseUrl, "bert", this.token);
        this.rooms = [];
        for (let number = 0; number < ROOMS; number++) {
            const options = { preset: "public_chat", name: `Room ${number}`, topic: `About ${number}` };
            const { room_id: room } = await this.must(this.anna, "POST", "/createRoom", options);
            await this.must(this.bert, "POST", `/join/${encodeURIComponent(room)}`, {});
            for (const word of ["one", "two", "three"]) await this.say(this.anna, room, `${word} in ${number}`);
            this.rooms.push(room);
        }
        await this.must(this.anna, "PUT", `/user/${encodeURIComponent(this.anna.user_id)}/account_data/org.example.colour`, {
            colour: "blue",
        });
    }

    async start() {
        const { access_token: accessToken, user_id: userId, device_id: deviceId } = this.anna;
        this.client = sdk.createClient({ baseUrl: this.baseUrl, accessToken, userId, deviceId, logger: quiet });
        const lists = new Map([["all", { ranges: [[0, SHOWN - 1]], timeline_limit: 1, required_state: STATE }]]);
        const subscription = { timeline_limit: 20, required_state: STATE };
        this.sliding = new SlidingSync(this.baseUrl, lists, subscription, this.client, POLL_MS);
        await this.client.startClient({ slidingSync: this.sliding });
        await this.until("the first response comes", () => this.client.getRooms().length >= SHOWN);
        const newest = this.rooms.slice(-SHOWN).sort();
        const shown = this.client.getRooms().map((room) => room.roomId);
        this.check("the newest rooms are shown, and no other", shown.sort(), newest);
        this.check("the list says how many there are", this.sliding.getListData("all").joinedCount, ROOMS);
        const room = this.client.getRoom(this.rooms.at(-1));
        this.check("a room has its name", room.name, `Room ${ROOMS - 1}`);
        const topic = room.currentState.getStateEvents("m.room.topic", "").getContent().topic;
        this.check("and the state that was asked for", topic, `About ${ROOMS - 1}`);
        this.check("and its newest message", this.bodies(room.roomId), [`three in ${ROOMS - 1}`]);
        await this.until("account data is there", () => this.client.getAccountData("org.example.colour"));
    }

    async widen() {
        this.sliding.setListRanges("all", [[0, ROOMS - 1]]);
        await this.until("a wider window shows all rooms", () => this.client.getRooms().length === ROOMS);
    }

    async listen() {
        const [room] = this.rooms;
        await this.say(this.bert, room, "Good morning");
        await this.until("a message comes", () => this.bodies(room).includes("Good morning"));
        this.check("with who said it", this.client.getRoom(room).getMember(this.bert.user_id)?.membership, "join");
        const unread = () => this.client.getRoom(room).getUnreadNotificationCount();
        await this.until("it counts as unread", () => unread() > 0);
        const typing = `/rooms/${encodeURIComponent(room)}/typing/${encodeURIComponent(this.bert.user_id)}`;
        await this.must(this.bert, "PUT", typing, { typing: true, timeout: 20000 });
        await this.until("who types is seen", () => this.client.getRoom(room).getMember(this.bert.user_id).typing);
        const { event_id: last } = await this.say(this.anna, room, "And to you");
        await this.must(this.bert, "POST", `/rooms/${encodeURIComponent(room)}/receipt/m.read/${encodeURIComponent(last)}`, {});
        const readUpTo = () => this.client.getRoom(room).getEventReadUpTo(this.bert.user_id);
        await this.until("a receipt comes", () => readUpTo() === last);
        await this.until("what one answers is read", () => unread() === 0);
    }

    async subscribe() {
        const room = this.rooms[3];
        this.check("a room in the list shows one message", this.bodies(room), ["three in 3"]);
        this.sliding.modifyRoomSubscriptions(new Set([room]));
        await this.until("opened, it shows more", () => this.bodies(room).length === 3);
        this.check("in order", this.bodies(room), ["one in 3", "two in 3", "three in 3"]);
    }

    async invite() {
        const options = { name: "Come in", invite: [this.anna.user_id], is_direct: true };
        const { room_id: room } = await this.must(this.bert, "POST", "/createRoom", options);
        await this.until("an invitation comes", () => this.client.getRoom(room)?.getMyMembership() === "invite");
        await this.must(this.anna, "POST", `/join/${encodeURIComponent(room)}`, {});
        await this.until("accepted, it is a room", () => this.client.getRoom(room)?.getMyMembership() === "join");
        await this.must(this.bert, "POST", `/rooms/${encodeURIComponent(room)}/kick`, { user_id: this.anna.user_id });
        await this.until("and whoever is put out sees it", () => this.client.getRoom(room)?.getMyMembership() === "leave");
    }

    async chatter() {
        const room = this.rooms[7];
        const said = [];
        for (let number = 0; number < 40; number++) {
            said.push(`word ${number}`);
            await this.say(this.bert, room, said.at(-1));
        }
        await this.until("much that is said comes to its end", () => this.bodies(room).includes("word 39"));
        const seen = this.bodies(room).filter((body) => body.startsWith("word "));
        this.check("each once and in order", seen, said.slice(said.length - seen.length));
    }

    async run() {
        const steps = ["prepare", "start", "widen", "listen", "subscribe", "invite", "chatter"];
        for (const step of steps) {
            if (!(await this.report.step(step, () => this[step]()))) break;
        }
        this.client?.stopClient();
        console.log(`${this.report.passed} passed, ${this.report.failed} failed`);
        process.exit(this.report.failed ? 1 : 0);
    }
}

await new Sliding(...process.argv.slice(2)).run();
