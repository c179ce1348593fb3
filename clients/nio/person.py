"""A user's device, what it sees, and what is reported of that."""

import asyncio
import secrets
import time
from dataclasses import dataclass

from nio import (
    AsyncClient,
    AsyncClientConfig,
    ErrorResponse,
    RedactedEvent,
    RoomMessagesError,
    RoomMessageText,
    SyncError,
    SyncResponse,
)

STEP_SECONDS = 60
LONG_POLL_MS = 30_000
# Above the largest burst, so that only the offline case may be limited.
LIVE_TIMELINE_LIMIT = 100


class Failure(Exception):
    """The step cannot go on; what was expected and what came is in the message."""


class Report:
    """Prints and counts what was checked."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def check(self, what, got, want=True):
        if got == want:
            self.passed += 1
            print(f"    ok      {what}", flush=True)
        else:
            self.fail(f"{what}\n            expected {want!r}\n            came     {got!r}")

    def fail(self, what):
        self.failed += 1
        print(f"    FAILED  {what}", flush=True)

    async def step(self, name, story, seconds=STEP_SECONDS):
        print(f"  {name}", flush=True)
        """Whether the story came to its end within its time."""
        try:
            async with asyncio.timeout(seconds):
                await story()
            return True
        except Failure as failure:
            self.fail(f"the step could not go on: {failure}")
        except TimeoutError:
            self.fail(f"the step took longer than {seconds} s")
        except Exception as error:  # noqa: BLE001 - a surprise inside the client is a finding, too
            self.fail(f"the step broke: {type(error).__name__}: {error}")
        return False


@dataclass
class Sent:
    """A message the server has acknowledged."""

    event_id: str
    sender: str
    body: str
    txn: str


def good(response, what):
    """The response, unless it is an error."""
    if isinstance(response, ErrorResponse):
        raise Failure(f"{what}: expected success, came {response}")
    return response


def timeline_of(limit):
    return {"room": {"timeline": {"limit": limit}}}


def account(base_url, localpart):
    # Without limits nio would retry a dead server for ever.
    config = AsyncClientConfig(max_timeouts=2, max_limit_exceeded=20, encryption_enabled=False)
    return AsyncClient(base_url, localpart, config=config)


async def offered(client):
    """What a registration without anything is answered: the status and the flows on offer."""
    probe = await client.send("POST", "/_matrix/client/v3/register", data=b"{}")
    return probe.status, await probe.json()


async def sign_up(client, offer, password, token):
    """The response to a registration by one of the flows; it logs the client in."""
    flows = [set(flow["stages"]) for flow in offer["flows"]]
    if {"m.login.dummy"} in flows:
        response = await client.register(client.user, password)
    elif any("m.login.registration_token" in flow for flow in flows):
        response = await client.register_with_token(client.user, password, token)
    else:
        raise Failure(f"no flow that this client can follow: {flows}")
    return good(response, f"registering {client.user}")


class Person:
    """One device of one user: a client, its running sync loop and all that the loop brought."""

    def __init__(self, name, client):
        self.name = name
        self.client = client
        self.syncs: list[SyncResponse] = []
        self.errors: list[SyncError] = []
        self.loop = None
        self.news = asyncio.Event()
        client.add_response_callback(self._synced, SyncResponse)
        client.add_response_callback(self._stumbled, SyncError)

    @property
    def user_id(self):
        return self.client.user_id

    async def _synced(self, response):
        self.syncs.append(response)
        self.news.set()

    async def _stumbled(self, response):
        self.errors.append(response)
        self.news.set()

    def start(self, **options):
        options = {"sync_filter": timeline_of(LIVE_TIMELINE_LIMIT), **options}
        self.loop = asyncio.create_task(self.client.sync_forever(timeout=LONG_POLL_MS, **options))

    async def stop(self):
        if self.loop:
            self.loop.cancel()
            await asyncio.gather(self.loop, return_exceptions=True)
            self.loop = None

    def timeline(self, room_id, kind=object):
        """What the loop brought of a room's timeline, in the order it came."""
        rooms = (sync.rooms.join.get(room_id) for sync in self.syncs)
        return [event for room in rooms if room for event in room.timeline.events if isinstance(event, kind)]

    def bodies(self, room_id):
        return [event.body for event in self.timeline(room_id, RoomMessageText)]

    def has(self, room_id, event_id):
        return any(event.event_id == event_id for event in self.timeline(room_id))

    async def until(self, what, happened, seconds=20):
        deadline = time.monotonic() + seconds
        while not happened():
            if self.loop and self.loop.done():
                raise Failure(f"{self.name} waited for {what}; the sync loop ended: {self.loop!r}")
            left = deadline - time.monotonic()
            if left <= 0:
                last = str(self.syncs[-1]) if self.syncs else "no sync at all"
                raise Failure(f"{self.name} waited {seconds} s for {what}; last came: {last}; errors: {self.errors}")
            self.news.clear()
            try:
                await asyncio.wait_for(self.news.wait(), min(left, 1))
            except TimeoutError:
                pass

    async def say(self, room_id, body):
        txn = secrets.token_hex(8)
        content = {"msgtype": "m.text", "body": body}
        response = good(await self.client.room_send(room_id, "m.room.message", content, tx_id=txn), f"sending {body!r}")
        return Sent(response.event_id, self.user_id, body, txn)

    async def history(self, room_id, start, limit, end=None):
        """Every event from `start` backwards, newest first, and the number of pages that took."""
        events, pages = [], 0
        while start:
            page = await self.client.room_messages(room_id, start, end=end, limit=limit)
            if isinstance(page, RoomMessagesError):
                raise Failure(f"/messages from {start}: {page}")
            pages += 1
            events += page.chunk
            start = page.end if page.chunk and page.end != end else None
        return events, pages


def told(events):
    """Messages in the shape in which the scenario remembers them; a redacted one has no body."""
    kinds = (RoomMessageText, RedactedEvent)
    return [(e.event_id, e.sender, getattr(e, "body", None)) for e in events if isinstance(e, kinds)]
