/**
 * Two people, two rooms and a bad connection, as matrix-js-sdk lives through them.
 *
 * Usage: scenario.mjs BASE_URL [REGISTRATION_TOKEN]
 *
 * The sync engine, the rooms and their timelines are the SDK's own, set up as Element sets
 * them up. Its fetch is wrapped only to see what went over the wire.
 */

import { isDeepStrictEqual } from "node:util";
import { Around } from "./around.mjs";
import { LONG_POLL_MS, Person, TIMELINE_LIMIT, random, refusal, seconds, told } from "./person.mjs";
import { Failure, Report, show } from "./report.mjs";
import { quiet, sdk } from "./sdk.mjs";

const { createClient, Direction, EventType, MsgType, Preset, TimelineWindow } = sdk;

// Sending is one request after the other, and a debug build is allowed to be slow.
const OFFLINE_STEP_SECONDS = 300;
const OFFLINE_MESSAGES = 500;
// As long as the server is configured to wait, twice.
const PRESENCE_STEP_SECONDS = 420;
const PASSWORD = "a long enough Passw0rd for anyone";

class Scenario {
    report = new Report();
    names = { anna: `anna-${random(5)}`, bert: `bert-${random(5)}` };
    said = [];
    redacted = new Set();
    check = (...facts) => this.report.check(...facts);

    constructor(baseUrl, token) {
        this.baseUrl = baseUrl;
        this.token = token;
        this.stranger = createClient({ baseUrl, logger: quiet });
    }

    /** The messages of the group room as a newcomer to its history must read them. */
    expected(said = this.said) {
        return said.map(({ id, sender, body }) => ({ id, sender, body: this.redacted.has(id) ? undefined : body }));
    }

    async register() {
        for (const localpart of Object.values(this.names)) {
            const offer = await this.offeredFlows();
            const stages = this.chooseFlow(offer.flows);
            const registered = await this.followFlow(localpart, offer.session, stages);
            this.report.check(
                `registration by ${stages.join(" and ")} names the user asked for`,
                registered.user_id.startsWith(`@${localpart}:`),
            );
        }
    }

    async offeredFlows() {
        try {
            await this.stranger.registerRequest({});
        } catch (error) {
            if (!error.data) throw error;
            this.report.check("an empty registration is answered 401", error.httpStatus, 401);
            return error.data;
        }
        throw new Failure("an empty registration: expected 401 with flows, came success");
    }

    chooseFlow(flows) {
        const known = new Set(["m.login.dummy", "m.login.registration_token"]);
        const flow = flows.find(({ stages }) => stages.every((stage) => known.has(stage)));
        if (!flow) throw new Failure(`expected a flow that this client can follow, came ${show(flows)}`);
        return flow.stages;
    }

    async followFlow(localpart, session, stages) {
        for (const [number, type] of stages.entries()) {
            const auth = type === "m.login.registration_token" ? { type, token: this.token } : { type };
            try {
                return await this.stranger.register(localpart, PASSWORD, session, auth);
            } catch (error) {
                const done = stages.slice(0, number + 1);
                if (!isDeepStrictEqual(error.data?.completed, done)) {
                    throw new Failure(`expected ${show(done)} to be completed, came ${error} ${show(error.data)}`);
                }
            }
        }
        throw new Failure("all stages are completed and there is still no account");
    }

    async login() {
        const { check } = this;
        const flows = await this.stranger.loginFlows();
        check("password login is offered", flows.flows.some(({ type }) => type === "m.login.password"));
        this.anna = await this.newDevice("anna", this.names.anna, "Anna's phone");
        this.bert = await this.newDevice("bert", this.names.bert, "Bert's phone");
        const wrong = this.requestLogin(this.names.anna, "not the password", "nobody's phone");
        check("a wrong password is refused", await refusal(wrong), [403, "M_FORBIDDEN"]);
        for (const person of [this.anna, this.bert]) {
            await person.start();
            check(`${person.name}'s first sync has no rooms`, person.client.getRooms().length, 0);
        }
    }

    requestLogin(user, password, device) {
        const identifier = { type: "m.id.user", user };
        return this.stranger.loginRequest({
            type: "m.login.password",
            identifier,
            password,
            initial_device_display_name: device,
        });
    }

    async newDevice(name, localpart, device) {
        const login = await this.requestLogin(localpart, PASSWORD, device);
        const person = new Person(name, this.baseUrl, login);
        const { user_id, device_id } = await person.client.whoami();
        this.check(
            `whoami of ${device} agrees with its login`,
            [user_id, device_id],
            [login.user_id, login.device_id],
        );
        return person;
    }

    async groupRoom() {
        const { anna, bert, check } = this;
        const creation = { name: "The garden", topic: "Weeds", preset: Preset.PrivateChat };
        this.group = (await anna.client.createRoom(creation)).room_id;
        await anna.until("the new room", () => anna.membership(this.group) === "join");
        await anna.client.invite(this.group, bert.userId);
        await bert.until("the invite", () => bert.membership(this.group) === "invite");
        check("the invite tells the room's name", bert.room(this.group).name, "The garden");
        const invite = bert.room(this.group).getMember(bert.userId).events.member;
        check("the invite tells who invites", invite.getSender(), anna.userId);
        await this.enter(bert, this.group);
        const room = bert.room(this.group);
        check("the group's name", room.name, "The garden");
        check("the group's topic", this.topic(room), "Weeds");
        check("the preset made it an invite room", room.getJoinRule(), "invite");
        await anna.until("Bert in the room", () => anna.room(this.group).getMember(bert.userId)?.membership === "join");
        check("Anna sees Bert join", anna.room(this.group).getJoinedMemberCount(), 2);
    }

    async enter(person, roomId) {
        await person.client.joinRoom(roomId);
        await person.until("the joined room", () => person.membership(roomId) === "join");
        await person.room(roomId).loadMembersIfNeeded();
        const members = new Set(person.room(roomId).getJoinedMembers().map(({ userId }) => userId));
        this.check(`${person.name} has joined and sees the members`, members, new Set([this.anna.userId, this.bert.userId]));
    }

    topic(room) {
        return room.currentState.getStateEvents(EventType.RoomTopic, "")?.getContent().topic;
    }

    async directRoom() {
        const { anna, bert, check } = this;
        const creation = { is_direct: true, preset: Preset.TrustedPrivateChat, invite: [bert.userId] };
        this.direct = (await anna.client.createRoom(creation)).room_id;
        await bert.until("the direct invite", () => bert.membership(this.direct) === "invite");
        check("the invite says is_direct, and from whom", bert.room(this.direct).getDMInviter(), anna.userId);
        await this.enter(bert, this.direct);
        check("the unnamed room is called after Anna", bert.room(this.direct).name, this.names.anna);
        const room = bert.room(this.direct);
        const levels = room.currentState.getStateEvents(EventType.RoomPowerLevels, "").getContent();
        await bert.client.sendStateEvent(this.direct, EventType.RoomPowerLevels, { ...levels, invite: 1 });
        check("Bert may change what Anna may (trusted_private_chat)", true);

        // The promise ends when the change has come back by sync.
        const content = { [bert.userId]: [this.direct] };
        await anna.client.setAccountData(EventType.Direct, content);
        check("m.direct comes by sync", anna.client.getAccountData(EventType.Direct)?.getContent(), content);
        const stored = await anna.client.getAccountDataFromServer(EventType.Direct);
        check("m.direct can be read", stored, content);
        check("Bert has no m.direct of his own", bert.client.getAccountData(EventType.Direct), undefined);
    }

    async talk() {
        let slowest = 0;
        for (let number = 0; number < 20; number += 1) {
            const [speaker, listener] = number % 2 ? [this.bert, this.anna] : [this.anna, this.bert];
            const started = performance.now();
            const sent = await speaker.say(this.group, `turn ${number} ☘ \u202eשלום`);
            this.said.push(sent);
            await listener.until(`turn ${number}`, () => listener.has(this.group, sent.id));
            slowest = Math.max(slowest, performance.now() - started);
        }
        console.log(`    20 turns; the slowest took ${slowest.toFixed(0)} ms from sending to the other's screen`);
        await this.bothHoldEverything("turns");
        const polls = [this.anna, this.bert].map(({ syncs }) => syncs.at(-1).query.timeout);
        this.check("these were long polls", polls, [String(LONG_POLL_MS), String(LONG_POLL_MS)]);
    }

    async bothHoldEverything(what) {
        const want = this.said.map(({ id, sender, body }) => ({ id, sender, body }));
        for (const person of [this.anna, this.bert]) {
            await person.until(`all ${what}`, () => want.every(({ id }) => person.has(this.group, id)));
            const holds = `${person.name} holds every message once, in order, as sent (${what})`;
            this.check(holds, person.messages(this.group), want);
            // The SDK forgives events that come twice, so that has to be seen on the wire.
            const wire = person.section("join", this.group).flatMap(({ timeline }) => timeline?.events ?? []);
            const ids = wire.map((event) => event.event_id);
            this.check(`no event came twice to ${person.name}`, ids.length, new Set(ids).size);
            const timeline = told(person.room(this.group).getLiveTimeline().getEvents());
            this.check(`and so does ${person.name}'s room timeline`, timeline, want);
            await person.until("the echoes", () => person.room(this.group).getPendingEvents().length === 0);
        }
    }

    async talkAtOnce() {
        const chatter = async (person) => {
            const sent = [];
            for (let n = 0; n < 15; n += 1) sent.push(await person.say(this.group, `${person.name} at once ${n}`));
            return sent;
        };
        const both = await Promise.all([chatter(this.anna), chatter(this.bert)]);
        const sent = new Map(both.flat().map((message) => [message.id, message]));
        await this.anna.until("the burst", () => [...sent.keys()].every((id) => this.anna.has(this.group, id)));
        // The server decides the order between the two; each one's own order is theirs.
        const order = this.anna.messages(this.group).flatMap(({ id }) => sent.get(id) ?? []);
        for (const burst of both) {
            const own = order.filter(({ sender }) => sender === burst[0].sender);
            this.check("a burst keeps its sender's order", own.map(({ id }) => id), burst.map(({ id }) => id));
        }
        this.said.push(...order);
        await this.bothHoldEverything("both at once");
    }

    async transactionIds() {
        const { anna, bert, check } = this;
        const mine = new Map(this.said.filter(({ sender }) => sender === anna.userId).map(({ id, txn }) => [id, txn]));
        const echoes = (person) => {
            const events = person.section("join", this.group).flatMap(({ timeline }) => timeline?.events ?? []);
            return new Map(
                events.flatMap((e) => (mine.has(e.event_id) ? [[e.event_id, e.unsigned?.transaction_id]] : [])),
            );
        };
        check("the sending device gets its transaction ids back", echoes(anna), mine);
        check("nobody else gets them", new Set(echoes(bert).values()), new Set([undefined]));
    }

    async changeState() {
        const { anna, bert, check } = this;
        const room = bert.room(this.group);
        await anna.client.setRoomName(this.group, "The greenhouse");
        await bert.until("the new name", () => room.name === "The greenhouse");
        await anna.client.setRoomTopic(this.group, "Tomatoes");
        await bert.until("the new topic", () => this.topic(room) === "Tomatoes");
        check("Bert sees the new name and topic", [room.name, this.topic(room)], ["The greenhouse", "Tomatoes"]);
        const state = await bert.client.getStateEvent(this.group, EventType.RoomTopic, "");
        check("and reads the same topic", state.topic, "Tomatoes");
        const renaming = bert.client.setRoomName(this.group, "Bert's");
        check("Bert may not rename the group", await refusal(renaming), [403, "M_FORBIDDEN"]);
    }

    async redact() {
        const { anna, bert, check } = this;
        const regret = await anna.say(this.group, "I never said that");
        this.said.push(regret);
        await bert.until("the message", () => bert.has(this.group, regret.id));
        await anna.client.redactEvent(this.group, regret.id, undefined, { reason: "slip" });
        const event = bert.room(this.group).findEventById(regret.id);
        await bert.until("the redaction", () => event.isRedacted());
        const because = event.getRedactionEvent();
        check("Bert sees who redacted it, and why", [because.sender, because.content.reason], [anna.userId, "slip"]);
        const fetched = await bert.client.fetchRoomEvent(this.group, regret.id);
        check("the redacted event has lost its content", fetched.content, {});
        check("and says what redacted it", fetched.unsigned?.redacted_because?.type, EventType.RoomRedaction);
        this.redacted.add(regret.id);
    }

    async renameOneself() {
        const { anna, bert, check } = this;
        await anna.client.setDisplayName("Anna of the Garden");
        for (const roomId of [this.group, this.direct]) {
            const name = () => bert.room(roomId).getMember(anna.userId).rawDisplayName;
            await bert.until("Anna's new display name", () => name() === "Anna of the Garden");
            check(`Bert sees Anna's new display name in ${bert.room(roomId).name}`, name(), "Anna of the Garden");
        }
        const profile = await bert.client.getProfileInfo(anna.userId);
        check("and in her profile", profile.displayname, "Anna of the Garden");
    }

    async pageBack() {
        for (const person of [this.anna, this.bert]) {
            const room = person.room(this.group);
            const pages = person.pages;
            while (room.oldState.paginationToken !== null) await person.client.scrollback(room, 7);
            this.checkHistory(person, room.getLiveTimeline().getEvents(), person.pages - pages);
        }
    }

    checkHistory(person, events, pages) {
        const ids = events.map((event) => event.getId());
        console.log(`    ${person.name}: ${events.length} events, with ${pages} pages of /messages`);
        this.check(`${person.name}'s history has nothing twice`, ids.length, new Set(ids).size);
        this.check(`${person.name}'s history begins with the room's creation`, events[0].getType(), EventType.RoomCreate);
        this.check(`${person.name}'s history has every message once, in order`, told(events), this.expected());
    }

    async offline() {
        const { anna, bert, check } = this;
        const since = bert.client.store.getSyncToken();
        bert.client.stopClient();
        const [syncs, pages, started] = [bert.syncs.length, bert.pages, performance.now()];
        const missed = [];
        for (let n = 0; n < OFFLINE_MESSAGES; n += 1) missed.push(await anna.say(this.group, `while you were away ${n}`));
        console.log(`    ${missed.length} messages sent in ${seconds(started).toFixed(1)} s`);
        this.said.push(...missed);
        await bert.start();
        await bert.until("the room after the absence", () => bert.has(this.group, missed.at(-1).id));
        check("it goes on from the old token", bert.syncs[syncs].query.since, since);
        const back = bert.section("join", this.group, syncs);
        check("the first sync is limited", back[0].timeline.limited);
        check("it says where the gap begins", typeof back[0].timeline.prev_batch, "string");
        const bySync = back.flatMap(({ timeline }) => timeline.events).length;
        const events = await this.fillGap(bert, missed[0].id);
        const asked = bert.pages - pages;
        const from = events.findIndex((event) => event.getId() === missed[0].id);
        console.log(`    ${bySync} by sync, ${events.length - from - bySync} by ${asked} pages of /messages`);
        check("back-pagination was really needed", bySync < OFFLINE_MESSAGES && asked > 1);
        check("all messages of the absence came once, in order", told(events.slice(from)), this.expected(missed));
        check("and follow on what came before", told(events.slice(0, from)).at(-1), this.expected().at(-OFFLINE_MESSAGES - 1));
    }

    /** A window on the group's timeline, as the view of a room has one, at its newest end. */
    async view(person) {
        const timelines = person.room(this.group).getUnfilteredTimelineSet();
        const window = new TimelineWindow(person.client, timelines, { windowLimit: OFFLINE_MESSAGES * 3 });
        await window.load(undefined, TIMELINE_LIMIT);
        return window;
    }

    /** What a room's view holds after scrolling up until `eventId` has something above it. */
    async fillGap(person, eventId) {
        const window = await this.view(person);
        const above = () => window.getEvents().findIndex((event) => event.getId() === eventId);
        while (above() < 1 && window.canPaginate(Direction.Backward)) {
            await window.paginate(Direction.Backward, 100);
        }
        return window.getEvents();
    }

    async pageBackOverEverything() {
        for (const person of [this.anna, this.bert]) {
            const pages = person.pages;
            const window = await this.view(person);
            while (window.canPaginate(Direction.Backward)) await window.paginate(Direction.Backward, 100);
            this.checkHistory(person, window.getEvents(), person.pages - pages);
        }
    }

    async secondDevice() {
        const { bert, check } = this;
        const tablet = (this.tablet = await this.newDevice("bert's tablet", this.names.bert, "Bert's tablet"));
        check("it is another device", tablet.client.getDeviceId() !== bert.client.getDeviceId());
        await tablet.start();
        const rooms = new Set(tablet.client.getRooms().map(({ roomId }) => roomId));
        check("its first sync has the same rooms", rooms, new Set([this.group, this.direct]));
        for (const roomId of rooms) {
            const views = [];
            for (const person of [tablet, bert]) {
                const room = person.room(roomId);
                await room.loadMembersIfNeeded();
                const members = room.getJoinedMembers().map((member) => [member.userId, member.rawDisplayName]);
                views.push([room.name, this.topic(room), room.getJoinRule(), room.getVersion(), members.sort()]);
            }
            check(`its view of ${bert.room(roomId).name} is the first device's`, ...views);
        }
        const last = told(tablet.room(this.group).getLiveTimeline().getEvents());
        check("it has the last messages", last, this.expected().slice(-8));
        const sent = await bert.say(this.group, "from my other device");
        this.said.push(sent);
        await tablet.until("the other device's message", () => tablet.has(this.group, sent.id));
        const joined = tablet.section("join", this.group).flatMap(({ timeline }) => timeline.events);
        const echo = joined.filter(({ event_id }) => event_id === sent.id).map((e) => e.unsigned?.transaction_id);
        check("a message of the first device comes once, without a transaction id", echo, [undefined]);
        await this.fresh(tablet);
    }

    /** A device without history in memory scrolls up to the creation. */
    async fresh(person) {
        const pages = person.pages;
        const room = person.room(this.group);
        while (room.oldState.paginationToken !== null) await person.client.scrollback(room, 200);
        this.checkHistory(person, room.getLiveTimeline().getEvents(), person.pages - pages);
    }

    async part() {
        const { anna, bert, check } = this;
        await bert.client.leave(this.group);
        const member = () => anna.room(this.group).getMember(bert.userId);
        await anna.until("Bert's leave", () => member()?.membership === "leave");
        check("Anna sees Bert leave by himself", member().events.member.getSender(), bert.userId);
        check("Anna is alone in the room", anna.room(this.group).getJoinedMemberCount(), 1);
        await bert.until("the leave section", () => bert.section("leave", this.group).length > 0);
        check("the room moved to Bert's leave section", bert.membership(this.group), "leave");
        const text = { msgtype: MsgType.Text, body: "still here" };
        const sending = bert.client.sendMessage(this.group, text);
        check("Bert may not send any more", await refusal(sending), [403, "M_FORBIDDEN"]);
        await bert.client.forget(this.group);
        check("Bert's client has dropped the room", bert.client.getRoom(this.group), null);
        await this.talkAfterwards();
    }

    async talkAfterwards() {
        const { anna, bert, check } = this;
        const syncs = bert.syncs.length;
        const secret = await anna.say(this.group, "now that Bert is gone");
        const bye = await anna.say(this.direct, "bye");
        await bert.until("what comes after the secret", () => bert.has(this.direct, bye.id));
        const heard = ["join", "leave", "invite"].flatMap((section) => bert.section(section, this.group, syncs));
        check("the forgotten room is not heard of again", [heard, bert.has(this.group, secret.id)], [[], false]);
        const reading = bert.client.createMessagesRequest(this.group, null, 10, Direction.Backward);
        check("its history is closed to Bert", await refusal(reading), [403, "M_FORBIDDEN"]);
    }

    async logout() {
        const { anna, bert, tablet, check } = this;
        const errors = [anna, bert, tablet].map((person) => person.errors);
        check("no sync loop met an error", errors, [[], [], []]);
        await bert.client.logout(true);
        const gone = [401, "M_UNKNOWN_TOKEN"];
        check("after logout, whoami is refused", await refusal(bert.client.whoami()), gone);
        check("after logout, reading a room is refused", await refusal(bert.client.roomState(this.direct)), gone);
        const { device_id: device } = await tablet.client.whoami();
        check("the other device is still logged in", device, tablet.client.getDeviceId());
    }

    async run() {
        const { report } = this;
        // Without the two there is no story to tell.
        if (!(await report.step("register two users", () => this.register()))) return;
        if (!(await report.step("log in by password", () => this.login()))) return;
        await this.live();
        for (const person of [this.anna, this.bert, this.tablet]) person?.client.stopClient();
    }

    async live() {
        const { report } = this;
        await report.step("a group: create, invite, join", () => this.groupRoom());
        await report.step("a direct room, and m.direct", () => this.directRoom());
        await report.step("talk in turns by long poll", () => this.talk());
        await report.step("talk both at once", () => this.talkAtOnce());
        await report.step("transaction ids", () => this.transactionIds());
        await report.step("change name and topic", () => this.changeState());
        await report.step("redact", () => this.redact());
        await report.step("change a display name", () => this.renameOneself());
        await report.step("page back to the creation", () => this.pageBack());
        const around = new Around(report, this.anna, this.bert, this.direct);
        await report.step("typing", () => around.typing());
        await report.step("unread counts, receipts", () => around.unreadAndRead());
        await report.step("a profile seen in a room", () => around.profile());
        await report.step("idle, offline, back", () => around.presence(), PRESENCE_STEP_SECONDS);
        await report.step(`be offline for ${OFFLINE_MESSAGES} messages`, () => this.offline(), OFFLINE_STEP_SECONDS);
        await report.step("page back over everything", () => this.pageBackOverEverything());
        await report.step("a second device", () => this.secondDevice());
        await report.step("leave and forget", () => this.part());
        await report.step("log out", () => this.logout());
    }
}

const [baseUrl, token = ""] = process.argv.slice(2);
const scenario = new Scenario(baseUrl.replace(/\/+$/, ""), token);
const started = performance.now();
await scenario.run();
const { passed, failed } = scenario.report;
console.log(`${passed + failed} checks in ${(seconds(started) / 60).toFixed(1)} minutes`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed || !passed ? 1 : 0);
