"""Two people, two rooms and a bad connection, as matrix-nio lives through them.

Usage: scenario.py BASE_URL [REGISTRATION_TOKEN]

The sync loop, the requests and the room model are matrix-nio's own. Raw requests stand
only where it has nothing: the registration flows on offer and writing account data.
"""

import asyncio
import json
import logging
import secrets
import sys
import time

from nio import (
    ErrorResponse,
    RedactedEvent,
    RedactionEvent,
    RoomCreateEvent,
    RoomMemberEvent,
    RoomMessageText,
    RoomPreset,
)
from around import Around
from person import Person, Report, Sent, account, good, offered, sign_up, timeline_of, told

# Sending is one request after the other, and a debug build is allowed to be slow.
OFFLINE_STEP_SECONDS = 300
OFFLINE_MESSAGES = 500
# As long as the server is configured to wait, twice.
PRESENCE_STEP_SECONDS = 420
OFFLINE_TIMELINE_LIMIT = 20
PASSWORD = "a long enough Passw0rd for anyone"


class Scenario:
    def __init__(self, base_url, token):
        self.base_url = base_url
        self.token = token
        self.report = Report()
        self.names = {name: f"{name}-{secrets.token_hex(5)}" for name in ("anna", "bert")}
        self.anna: Person = None
        self.bert: Person = None
        self.tablet: Person = None
        self.group = None
        self.direct = None
        self.said: list[Sent] = []
        self.redacted: set[str] = set()

    def expected(self, said=None):
        """The messages of the group room as a newcomer to its history must read them."""
        return [(s.event_id, s.sender, None if s.event_id in self.redacted else s.body) for s in said or self.said]

    async def register(self):
        for localpart in self.names.values():
            client = account(self.base_url, localpart)
            try:
                await self._register(client, localpart)
            finally:
                await client.close()

    async def _register(self, client, localpart):
        status, offer = await offered(client)
        self.report.check("an empty registration is answered 401 with flows", (status, "flows" in offer), (401, True))
        response = await sign_up(client, offer, PASSWORD, self.token)
        self.report.check("registration names the user asked for", response.user_id.startswith(f"@{localpart}:"))

    async def login(self):
        self.anna = await self.new_device("anna", self.names["anna"], "Anna's phone")
        self.bert = await self.new_device("bert", self.names["bert"], "Bert's phone")
        wrong = account(self.base_url, self.names["anna"])
        refused = await wrong.login("not the password")
        await wrong.close()
        self.report.check("a wrong password is refused", getattr(refused, "status_code", None), "M_FORBIDDEN")
        self.anna.start()
        self.bert.start()
        for person in (self.anna, self.bert):
            await person.until("the first sync", lambda person=person: person.syncs)
            self.report.check(f"{person.name}'s first sync has no rooms", person.client.rooms, {})

    async def new_device(self, name, localpart, device_name):
        client = account(self.base_url, localpart)
        response = good(await client.login(PASSWORD, device_name=device_name), f"logging in {localpart}")
        me = good(await client.whoami(), "whoami")
        self.report.check(
            f"whoami of {device_name} agrees with its login",
            (me.user_id, me.device_id),
            (response.user_id, response.device_id),
        )
        return Person(name, client)

    async def group_room(self):
        anna, bert, check = self.anna, self.bert, self.report.check
        room = good(
            await anna.client.room_create(name="The garden", topic="Weeds", preset=RoomPreset.private_chat),
            "creating the group",
        )
        self.group = room.room_id
        await anna.until("the new room", lambda: self.group in anna.client.rooms)
        good(await anna.client.room_invite(self.group, bert.user_id), "inviting")
        await bert.until("the invite", lambda: self.group in bert.client.invited_rooms)
        invited = bert.client.invited_rooms[self.group]
        check("the invite tells who invites", invited.inviter, anna.user_id)
        check("the invite tells the room's name", invited.name, "The garden")
        await self.enter(bert, self.group)
        model = bert.client.rooms[self.group]
        check("the group's name", model.name, "The garden")
        check("the group's topic", model.topic, "Weeds")
        check("the preset made it an invite room", model.join_rule, "invite")
        check("its members", set(model.users), {anna.user_id, bert.user_id})
        check("the invite is gone", self.group in bert.client.invited_rooms, False)
        await anna.until(
            "Bert in the member list", lambda: not anna.client.rooms[self.group].users[bert.user_id].invited
        )

    async def enter(self, person, room_id):
        good(await person.client.join(room_id), "joining")
        await person.until("the joined room", lambda: room_id in person.client.rooms)
        members = person.client.rooms[room_id].users
        await person.until("both members", lambda: {self.anna.user_id, self.bert.user_id} <= set(members))

    async def direct_room(self):
        anna, bert, check = self.anna, self.bert, self.report.check
        room = good(
            await anna.client.room_create(
                is_direct=True, preset=RoomPreset.trusted_private_chat, invite=[bert.user_id]
            ),
            "creating the direct room",
        )
        self.direct = room.room_id
        await bert.until("the direct invite", lambda: self.direct in bert.client.invited_rooms)
        await bert.until("its sender", lambda: bert.client.invited_rooms[self.direct].inviter == anna.user_id)
        invites = [sync.rooms.invite[self.direct] for sync in bert.syncs if self.direct in sync.rooms.invite]
        flags = [
            e.content.get("is_direct")
            for i in invites
            for e in i.invite_state
            if getattr(e, "membership", "") == "invite"
        ]
        check("the invite says is_direct", flags[-1:], [True])
        await self.enter(bert, self.direct)
        levels = good(
            await bert.client.room_get_state_event(self.direct, "m.room.power_levels"), "reading power levels"
        ).content
        raised = await bert.client.room_put_state(self.direct, "m.room.power_levels", {**levels, "invite": 1})
        check("Bert may change what Anna may (trusted_private_chat)", isinstance(raised, ErrorResponse), False)
        check("the unnamed room is called after Anna", bert.client.rooms[self.direct].display_name, self.names["anna"])
        await self.remember_direct()

    async def remember_direct(self):
        anna, content = self.anna, {self.bert.user_id: [self.direct]}
        path = f"/_matrix/client/v3/user/{anna.user_id}/account_data/m.direct"
        headers = {"Authorization": f"Bearer {anna.client.access_token}", "Content-Type": "application/json"}
        stored = await anna.client.send("PUT", path, data=json.dumps(content), headers=headers)
        self.report.check("m.direct is stored", stored.status, 200)

        def arrived():
            return [
                e.content for s in anna.syncs for e in s.account_data_events if getattr(e, "type", "") == "m.direct"
            ]

        await anna.until("m.direct by sync", arrived)
        self.report.check("m.direct comes by sync", arrived()[-1], content)
        self.report.check(
            "m.direct can be read", good(await anna.client.list_direct_rooms(), "m.direct").rooms, content
        )

    async def talk(self):
        anna, bert = self.anna, self.bert
        slowest = 0.0
        for number in range(20):
            speaker, listener = (anna, bert) if number % 2 == 0 else (bert, anna)
            started = time.monotonic()
            sent = await speaker.say(self.group, f"turn {number} ☘ \u202eשלום")
            self.said.append(sent)
            await listener.until(f"turn {number}", lambda l=listener, s=sent: l.has(self.group, s.event_id))
            slowest = max(slowest, time.monotonic() - started)
        print(f"    20 turns; the slowest took {slowest * 1000:.0f} ms from sending to the other's screen")
        await self.both_hold_everything("turns")

    async def both_hold_everything(self, what):
        last = {s.event_id for s in self.said}
        for person in (self.anna, self.bert):
            seen = lambda p=person: last <= {e.event_id for e in p.timeline(self.group)}  # noqa: E731
            await person.until(f"all {what}", seen)
            came = [(e.event_id, e.sender, e.body) for e in person.timeline(self.group, RoomMessageText)]
            want = [(s.event_id, s.sender, s.body) for s in self.said]
            self.report.check(f"{person.name} holds every message once, in order, as sent ({what})", came, want)

    async def talk_at_once(self):
        bursts = [(p, [f"{p.name} at once {n}" for n in range(15)]) for p in (self.anna, self.bert)]

        async def chatter(person, bodies):
            return [await person.say(self.group, body) for body in bodies]

        both = await asyncio.gather(*(chatter(person, bodies) for person, bodies in bursts))
        await self.anna.until(
            "the burst", lambda: all(self.anna.has(self.group, s.event_id) for said in both for s in said)
        )
        sent = {s.event_id: s for said in both for s in said}
        # The server decides the order between the two; each one's own order is theirs.
        order = [e.event_id for e in self.anna.timeline(self.group) if e.event_id in sent]
        for (person, bodies), _ in zip(bursts, both):
            came = [sent[i].body for i in order if sent[i].sender == person.user_id]
            self.report.check(f"{person.name}'s burst keeps its order", came, bodies)
        self.said += [sent[i] for i in order]
        await self.both_hold_everything("both at once")

    async def transaction_ids(self):
        mine = {s.event_id: s.txn for s in self.said if s.sender == self.anna.user_id}
        own = {e.event_id: e.transaction_id for e in self.anna.timeline(self.group) if e.event_id in mine}
        others = {e.transaction_id for e in self.bert.timeline(self.group) if e.event_id in mine}
        self.report.check("the sending device gets its transaction ids back", own, mine)
        self.report.check("nobody else gets them", others, {None})
        last = [s for s in self.said if s.sender == self.anna.user_id][-1]
        content = {"msgtype": "m.text", "body": last.body}
        again = await self.anna.client.room_send(self.group, "m.room.message", content, tx_id=last.txn)
        self.report.check(
            "sending again under the same transaction id sends nothing new", again.event_id, last.event_id
        )

    async def change_state(self):
        anna, bert = self.anna, self.bert
        model = bert.client.rooms[self.group]
        good(await anna.client.room_put_state(self.group, "m.room.name", {"name": "The greenhouse"}), "renaming")
        await bert.until("the new name", lambda: model.name == "The greenhouse")
        good(await anna.client.update_room_topic(self.group, "Tomatoes"), "changing the topic")
        await bert.until("the new topic", lambda: model.topic == "Tomatoes")
        self.report.check("Bert sees the new name and topic", (model.name, model.topic), ("The greenhouse", "Tomatoes"))
        state = good(await bert.client.room_get_state_event(self.group, "m.room.topic"), "reading the topic")
        self.report.check("and reads the same topic", state.content.get("topic"), "Tomatoes")
        refused = await bert.client.room_put_state(self.group, "m.room.name", {"name": "Bert's"})
        self.report.check("Bert may not rename the group", getattr(refused, "status_code", None), "M_FORBIDDEN")

    async def redact(self):
        anna, bert = self.anna, self.bert
        regret = await anna.say(self.group, "I never said that")
        self.said.append(regret)
        await bert.until("the message", lambda: bert.has(self.group, regret.event_id))
        redaction = good(await anna.client.room_redact(self.group, regret.event_id, reason="slip"), "redacting")
        await bert.until("the redaction", lambda: bert.has(self.group, redaction.event_id))
        seen = [e for e in bert.timeline(self.group, RedactionEvent) if e.event_id == redaction.event_id]
        self.report.check("Bert sees the redaction", [(e.redacts, e.reason) for e in seen], [(regret.event_id, "slip")])
        event = good(await bert.client.room_get_event(self.group, regret.event_id), "reading the redacted event").event
        self.report.check(
            "the redacted event has lost its content", (type(event), event.source["content"]), (RedactedEvent, {})
        )
        self.redacted.add(regret.event_id)

    async def rename_oneself(self):
        anna, bert = self.anna, self.bert
        good(await anna.client.set_displayname("Anna of the Garden"), "setting the display name")
        for room_id, name in ((self.group, "group"), (self.direct, "direct room")):
            for person in (anna, bert):
                users = person.client.rooms[room_id].users
                await person.until(
                    f"the name in the {name}", lambda u=users: u[anna.user_id].display_name == "Anna of the Garden"
                )
            self.report.check(
                f"Bert sees Anna's new display name in the {name}",
                users[anna.user_id].display_name,
                "Anna of the Garden",
            )
        profile = good(await bert.client.get_profile(anna.user_id), "reading the profile")
        self.report.check("and in her profile", profile.displayname, "Anna of the Garden")

    async def page_back(self, limit):
        for person in (self.anna, self.bert):
            events, pages = await person.history(self.group, person.client.next_batch, limit)
            ids = [event.event_id for event in events]
            print(f"    {person.name}: {len(events)} events in {pages} pages of at most {limit}")
            self.report.check(f"{person.name}'s history has nothing twice", len(ids), len(set(ids)))
            self.report.check(f"{person.name}'s history ends at the room's creation", type(events[-1]), RoomCreateEvent)
            self.report.check(
                f"{person.name}'s history has every message once, in order", told(reversed(events)), self.expected()
            )

    async def offline(self):
        anna, bert, check = self.anna, self.bert, self.report.check
        await bert.stop()
        since, known = bert.client.next_batch, len(bert.syncs)
        started = time.monotonic()
        missed = [await anna.say(self.group, f"while you were away {n}") for n in range(OFFLINE_MESSAGES)]
        print(f"    {len(missed)} messages sent in {time.monotonic() - started:.1f} s")
        self.said += missed
        bert.start(since=since, sync_filter=timeline_of(OFFLINE_TIMELINE_LIMIT))
        await bert.until("the room after the absence", lambda: bert.has(self.group, missed[-1].event_id))
        back = [s.rooms.join[self.group].timeline for s in bert.syncs[known:] if self.group in s.rooms.join]
        check("the first sync is limited", back[0].limited)
        check("its timeline is as long as the filter allows", len(back[0].events), OFFLINE_TIMELINE_LIMIT)
        tail = [event for timeline in back for event in timeline.events]
        gap, pages = await bert.history(self.group, back[0].prev_batch, 100, end=since)
        print(f"    {len(tail)} by sync, {len(gap)} by {pages} pages of /messages back to the old token")
        check("back-pagination was really needed", pages > 1)
        check("all messages of the absence came once, in order", told([*reversed(gap), *tail]), self.expected(missed))
        await bert.stop()
        bert.start()

    async def second_device(self):
        bert, check = self.bert, self.report.check
        tablet = self.tablet = await self.new_device("bert's tablet", self.names["bert"], "Bert's tablet")
        check("it is another device", tablet.client.device_id != bert.client.device_id)
        tablet.start(first_sync_filter=timeline_of(5))
        await tablet.until("the first sync", lambda: tablet.syncs)
        check("its first sync has the same rooms", set(tablet.client.rooms), {self.group, self.direct})
        for room_id in set(tablet.client.rooms) & set(bert.client.rooms):
            one, other = (p.client.rooms[room_id] for p in (tablet, bert))
            facts = lambda r: (
                r.name,
                r.topic,
                r.join_rule,
                r.room_version,
                {u.user_id: u.display_name for u in r.users.values()},
            )  # noqa: E731
            check(f"its view of {other.name or 'the direct room'} is the first device's", facts(one), facts(other))
        check("it has the last messages", told(tablet.timeline(self.group)), self.expected()[-5:])
        sent = await bert.say(self.group, "from my other device")
        self.said.append(sent)
        await tablet.until("the other device's message", lambda: tablet.has(self.group, sent.event_id))
        echo = [e.transaction_id for e in tablet.timeline(self.group) if e.event_id == sent.event_id]
        check("a message of the first device comes once, without a transaction id", echo, [None])
        await self.idle_poll(tablet)

    async def idle_poll(self, person):
        """Presence and the like may end a poll; one of a few must be held for its time."""
        await person.stop()
        held = []
        for _ in range(5):
            started = time.monotonic()
            good(await person.client.sync(timeout=1500), "an idle poll")
            held.append(time.monotonic() - started)
            if held[-1] > 1:
                break
        self.report.check(f"a poll with nothing new is held ({held[-1]:.1f} s of 1.5 s)", 1 < held[-1] < 6)

    async def part(self):
        anna, bert, check = self.anna, self.bert, self.report.check
        good(await bert.client.room_leave(self.group), "leaving")
        left = lambda: [e for e in anna.timeline(self.group, RoomMemberEvent) if e.membership == "leave"]  # noqa: E731
        await anna.until("Bert's leave", left)
        check("Anna sees Bert leave", [(e.state_key, e.sender) for e in left()], [(bert.user_id, bert.user_id)])
        check("Anna's member list is without Bert", set(anna.client.rooms[self.group].users), {anna.user_id})
        await bert.until("the leave section", lambda: any(self.group in s.rooms.leave for s in bert.syncs))
        check("the room moved to Bert's leave section", sum(self.group in s.rooms.leave for s in bert.syncs), 1)
        refused = await bert.client.room_send(self.group, "m.room.message", {"msgtype": "m.text", "body": "still here"})
        check("Bert may not send any more", getattr(refused, "status_code", None), "M_FORBIDDEN")
        good(await bert.client.room_forget(self.group), "forgetting")
        check("Bert's client has dropped the room", self.group in bert.client.rooms, False)
        already = len(bert.syncs)
        secret = await anna.say(self.group, "now that Bert is gone")
        good(
            await anna.client.room_send(self.direct, "m.room.message", {"msgtype": "m.text", "body": "bye"}),
            "the last word",
        )
        await bert.until("what comes after the secret", lambda: "bye" in bert.bodies(self.direct))
        later = [s for s in bert.syncs[already:] if self.group in {*s.rooms.join, *s.rooms.leave, *s.rooms.invite}]
        check("the forgotten room is not heard of again", (later, bert.has(self.group, secret.event_id)), ([], False))
        history = await bert.client.room_messages(self.group, bert.client.next_batch)
        check("its history is closed to Bert", getattr(history, "status_code", None), "M_FORBIDDEN")

    async def logout(self):
        client = self.bert.client
        await self.bert.stop()
        token = client.access_token
        good(await client.logout(), "logging out")
        client.access_token = token
        for what, request in (("whoami", client.whoami), ("sync", client.sync)):
            response = await request()
            came = (response.transport_response.status, getattr(response, "status_code", None))
            self.report.check(f"after logout, {what} is refused", came, (401, "M_UNKNOWN_TOKEN"))
        good(await self.tablet.client.whoami(), "whoami of the other device")
        self.report.check("the other device is still logged in", True)
        self.report.check(
            "no sync loop met an error", [p.errors for p in (self.anna, self.bert, self.tablet)], [[], [], []]
        )

    async def run(self):
        step = self.report.step
        # Without the two there is no story to tell.
        if await step("register two users", self.register) and await step("log in by password", self.login):
            await self.live()
        for person in filter(None, (self.anna, self.bert, self.tablet)):
            await person.stop()
            await person.client.close()

    async def live(self):
        step = self.report.step
        await step("a group: create, invite, join", self.group_room)
        await step("a direct room, and m.direct", self.direct_room)
        await step("talk in turns by long poll", self.talk)
        await step("talk both at once", self.talk_at_once)
        await step("transaction ids", self.transaction_ids)
        await step("change name and topic", self.change_state)
        await step("redact", self.redact)
        await step("change a display name", self.rename_oneself)
        await step("page back to the creation", lambda: self.page_back(7))
        around = Around(self.report, self.anna, self.bert, self.direct)
        await step("typing", around.typing)
        await step("unread counts, receipts", around.unread_and_read)
        await step("a profile seen in a room", around.profile)
        await step("idle, offline, back", around.presence, PRESENCE_STEP_SECONDS)
        await step(f"be offline for {OFFLINE_MESSAGES} messages", self.offline, OFFLINE_STEP_SECONDS)
        await step("page back over everything", lambda: self.page_back(100))
        await step("a second device", self.second_device)
        await step("leave and forget", self.part)
        await step("log out", self.logout)


def main():
    # nio warns of every error response that it parses; the scenario provokes some.
    logging.getLogger("nio").setLevel(logging.ERROR)
    base_url = sys.argv[1].rstrip("/")
    scenario = Scenario(base_url, sys.argv[2] if len(sys.argv) > 2 else "")
    started = time.monotonic()
    asyncio.run(scenario.run())
    report = scenario.report
    print(f"{report.passed + report.failed} checks in {(time.monotonic() - started) / 60:.1f} minutes")
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0


if __name__ == "__main__":
    sys.exit(main())
