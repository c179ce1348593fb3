"""What goes on around messages: typing, receipts, unread counts, the profile, and who is online."""

import asyncio
import os
import re
import time

from nio import PresenceGetResponse
from person import Failure, good

# How much later than configured a change may be heard of.
GRACE_SECONDS = 8


def configured(name, default):
    """A duration of the server's configuration, in seconds."""
    number, unit = re.fullmatch(r"(\d+)(ms|s|m)", os.environ.get(f"HEARTH_PRESENCE__{name}", default)).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60}[unit]


class Around:
    """Two people in a room who do not talk much."""

    def __init__(self, report, anna, bert, room_id):
        self.check = report.check
        self.anna = anna
        self.bert = bert
        self.room_id = room_id

    def seen(self, person):
        return person.client.rooms[self.room_id]

    async def typing(self):
        anna, bert = self.anna, self.bert
        good(await bert.client.room_typing(self.room_id, True, 20_000), "typing")
        await anna.until("Bert to type", lambda: bert.user_id in self.seen(anna).typing_users)
        good(await bert.client.room_typing(self.room_id, False), "not typing")
        await anna.until("Bert to cease", lambda: bert.user_id not in self.seen(anna).typing_users)
        self.check("nobody types any more", self.seen(anna).typing_users, [])
        good(await bert.client.room_typing(self.room_id, True, 500), "typing for a moment")
        await anna.until("Bert's typing to begin and to end by itself", lambda: self.ends_of_typing() >= 2)
        self.check("typing ends by itself", self.seen(anna).typing_users, [])

    def ends_of_typing(self):
        rooms = (sync.rooms.join.get(self.room_id) for sync in self.anna.syncs)
        events = [event for room in rooms if room for event in room.ephemeral]
        return sum(getattr(event, "users", None) == [] for event in events)

    async def unread_and_read(self):
        anna, bert, check = self.anna, self.bert, self.check
        first = await anna.say(self.room_id, "have you read this?")
        await bert.until("one unread message", lambda: self.counts() == (1, 0))
        content = {"msgtype": "m.text", "body": "Bert!", "m.mentions": {"user_ids": [bert.user_id]}}
        response = await anna.client.room_send(self.room_id, "m.room.message", content)
        mention = good(response, "mentioning").event_id
        await bert.until("an unread mention", lambda: self.counts() == (2, 1))
        check("what Anna said herself is not unread for her", self.seen(anna).unread_notifications, 0)
        good(await bert.client.update_receipt_marker(self.room_id, first.event_id), "a receipt in main")
        await bert.until("the mention to be left", lambda: self.counts() == (1, 1))
        await anna.until("Bert's receipt in main", lambda: self.read_in_main(anna, bert) == first.event_id)
        good(await bert.client.room_read_markers(self.room_id, mention, mention), "a receipt for the mention")
        await bert.until("nothing unread", lambda: self.counts() == (0, 0))
        await anna.until("Bert's next receipt", lambda: self.read_by(anna, bert) == mention)
        check("counts went up and down", True)

    def counts(self):
        room = self.seen(self.bert)
        return (room.unread_notifications or 0, room.unread_highlights or 0)

    def read_in_main(self, seen_by, reader):
        receipts = self.seen(seen_by).threaded_read_receipts.get(reader.user_id, {})
        return "main" in receipts and receipts["main"].event_id

    def read_by(self, seen_by, reader):
        receipt = self.seen(seen_by).read_receipts.get(reader.user_id)
        return receipt and receipt.event_id

    async def profile(self):
        anna, bert = self.anna, self.bert
        good(await bert.client.set_displayname("Bert the Bold"), "a name")
        good(await bert.client.set_avatar("mxc://example.org/bert"), "a picture")

        def shown():
            user = self.seen(anna).users[bert.user_id]
            return (user.display_name, user.avatar_url)

        await anna.until("Bert's name and picture", lambda: shown() == ("Bert the Bold", "mxc://example.org/bert"))
        told = good(await anna.client.get_profile(bert.user_id), "Bert's profile")
        self.check("the profile says the same", (told.displayname, told.avatar_url), shown())

    def told(self, since):
        """The last that Anna was told of Bert's presence."""
        events = [event for sync in self.anna.syncs[since:] for event in sync.presence_events]
        of_bert = [event.presence for event in events if event.user_id == self.bert.user_id]
        return of_bert[-1] if of_bert else None

    async def presence(self):
        anna, bert, check = self.anna, self.bert, self.check
        idle, offline = configured("IDLE_AFTER", "5m"), configured("OFFLINE_AFTER", "30s")
        since = len(anna.syncs)
        await bert.say(self.room_id, "I am here")
        active = time.monotonic()
        await anna.until("Bert to go idle", lambda: self.told(since) == "unavailable", idle + GRACE_SECONDS)
        check("Bert did not go idle too soon", time.monotonic() - active > idle - 1)
        await bert.say(self.room_id, "here again")
        await anna.until("Bert to be back", lambda: self.told(since) == "online", GRACE_SECONDS)
        good(await bert.client.set_presence("online", "on a boat"), "a status message")
        await self.until_status("on a boat")
        await bert.stop()
        gone = time.monotonic()
        await anna.until("Bert to go offline", lambda: self.told(since) == "offline", offline + 2 * GRACE_SECONDS)
        check("Bert did not go offline too soon", time.monotonic() - gone > offline - 1)
        bert.start(since=bert.client.next_batch)
        await anna.until("Bert to come back", lambda: self.told(since) == "online")
        await self.until_status("on a boat")
        check("his status message stayed", True)

    async def until_status(self, message):
        for _ in range(GRACE_SECONDS * 10):
            told = await self.anna.client.get_presence(self.bert.user_id)
            if isinstance(told, PresenceGetResponse) and told.status_msg == message:
                return
            await asyncio.sleep(0.1)
        raise Failure(f"no status message {message!r}: {told}")
