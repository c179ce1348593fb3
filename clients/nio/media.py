"""Two people who send each other files and pictures, as matrix-nio uploads and downloads them.

Usage: media.py BASE_URL [REGISTRATION_TOKEN]

Raw requests stand only where nio has nothing: the endpoints that ask for no token.
"""

import asyncio
import io
import logging
import secrets
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlparse

from nio import Event, ResizingMethod, RoomMessageFile, RoomMessageImage, RoomPreset
from nio.crypto import decrypt_attachment
from person import Person, Report, account, good, offered, sign_up
from picture import png, size_of

PASSWORD = "a long enough Passw0rd for anyone"
FILE_NAME = "Plan für den Garten – 2.txt"
AT_ONCE = 12


class Media:
    def __init__(self, base_url, token):
        self.base_url = base_url
        self.token = token
        self.report = Report()
        self.check = self.report.check
        self.anna: Person = None
        self.bert: Person = None
        self.room = None
        self.text = None
        self.picture = None

    async def newcomer(self, name):
        person = Person(name, account(self.base_url, f"{name}-{secrets.token_hex(5)}"))
        _, offer = await offered(person.client)
        await sign_up(person.client, offer, PASSWORD, self.token)
        person.start()
        return person

    async def meet(self):
        self.anna = await self.newcomer("anna")
        self.bert = await self.newcomer("bert")
        anna, bert = self.anna, self.bert
        room = await anna.client.room_create(preset=RoomPreset.trusted_private_chat, invite=[bert.user_id])
        self.room = good(room, "creating the room").room_id
        good(await bert.client.join(self.room), "joining")
        for person in (anna, bert):
            await person.until("the room", lambda p=person: self.room in p.client.rooms)
        self.check("the two share a room", True)

    async def config(self):
        config = good(await self.anna.client.content_repository_config(), "the configuration of media")
        self.check("the largest upload is told", isinstance(config.upload_size, int) and config.upload_size > 0)

    async def upload(self, data, **options):
        """The address of what was uploaded, and how it is decrypted."""
        response, keys = await self.anna.client.upload(lambda *_: data, filesize=len(data), **options)
        return good(response, "uploading").content_uri, keys

    async def send(self, msgtype, body, **content):
        """The event as it comes to Bert."""
        content = {"msgtype": msgtype, "body": body, **content}
        sent = good(await self.anna.client.room_send(self.room, "m.room.message", content), f"sending {msgtype}")
        await self.bert.until(f"an {msgtype}", lambda: self.bert.has(self.room, sent.event_id))
        return next(e for e in self.bert.timeline(self.room) if e.event_id == sent.event_id)

    async def fetch(self, uri, **options):
        return good(await self.bert.client.download(uri, **options), f"downloading {uri}")

    async def file(self):
        data = f"Rosen am Zaun, {secrets.token_hex(8)}\n".encode() * 10_000
        self.text, _ = await self.upload(data, content_type="text/plain", filename=FILE_NAME)
        server = self.anna.user_id.partition(":")[2]
        self.check("an upload gets an address of this server", self.text.startswith(f"mxc://{server}/"))
        info = {"size": len(data), "mimetype": "text/plain"}
        event = await self.send("m.file", FILE_NAME, url=self.text, info=info)
        kind, said = type(event), (event.url, event.body)
        self.check("the file comes as a message", (kind, said), (RoomMessageFile, (self.text, FILE_NAME)))
        came = await self.fetch(event.url)
        self.check("Bert downloads what Anna uploaded", came.body == data)
        self.check("with its type and name", (came.content_type, came.filename), ("text/plain", FILE_NAME))
        renamed = await self.fetch(event.url, filename="other.txt")
        self.check("under the name that he asks for", (renamed.body == data, renamed.filename), (True, "other.txt"))
        await self.to_disk(data)

    async def to_disk(self, data):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "plan.txt")
            await self.fetch(self.text, save_to=path)
            self.check("to the disk as well", path.read_bytes() == data)

    async def unannounced(self):
        data = secrets.token_bytes(300_000)
        # Without its size it goes in chunks.
        response, _ = await self.anna.client.upload(io.BytesIO(data))
        came = await self.fetch(good(response, "uploading").content_uri)
        self.check("a file of unannounced length comes whole", came.body == data)
        self.check("as bytes without a name", (came.content_type, came.filename), ("application/octet-stream", None))

    async def nothing(self):
        uri, _ = await self.upload(b"", content_type="text/plain", filename="nothing.txt")
        came = await self.fetch(uri)
        self.check("an empty file is one, too", (came.body, came.filename), (b"", "nothing.txt"))

    async def image(self):
        data = png(1000, 600)
        self.picture, _ = await self.upload(data, content_type="image/png", filename="garden.png")
        info = {"w": 1000, "h": 600, "size": len(data), "mimetype": "image/png"}
        event = await self.send("m.image", "garden.png", url=self.picture, info=info)
        self.check("the picture comes as a message", (type(event), event.url), (RoomMessageImage, self.picture))
        came = await self.fetch(event.url)
        self.check("Bert sees the picture that Anna has", came.body == data)
        self.check("with its type and name", (came.content_type, came.filename), ("image/png", "garden.png"))

    async def thumbnail(self, uri, width, height, method):
        address = urlparse(uri)
        return await self.bert.client.thumbnail(address.netloc, address.path[1:], width, height, method)

    async def thumbnails(self):
        scale, crop = ResizingMethod.scale, ResizingMethod.crop
        wanted = [(320, 240, scale, (320, 192)), (800, 600, scale, (800, 480)), (96, 96, crop, (96, 96))]
        # Larger than the picture: it is not blown up.
        wanted.append((1200, 900, scale, (1000, 600)))
        for width, height, method, size in wanted:
            what = f"{method.value} to {width} by {height}"
            made = good(await self.thumbnail(self.picture, width, height, method), what)
            self.check(f"{what} makes {size[0]} by {size[1]}", size_of(made.body), size)
            self.check("and is a picture", made.content_type in ("image/png", "image/jpeg"))
        refused = await self.thumbnail(self.text, 96, 96, crop)
        self.check("a text has no thumbnail", refused.transport_response.status, 400)

    async def profile(self):
        anna, bert = self.anna, self.bert
        good(await anna.client.set_avatar(self.picture), "setting the avatar")
        shown = lambda: bert.client.rooms[self.room].users[anna.user_id].avatar_url  # noqa: E731
        await bert.until("Anna's picture", lambda: shown() == self.picture)
        made = good(await self.thumbnail(shown(), 32, 32, ResizingMethod.crop), "the avatar")
        self.check("an avatar is seen small", size_of(made.body), (32, 32))

    async def encrypt(self, data, mimetype):
        """What stands in a message in place of an address."""
        uri, keys = await self.upload(data, content_type=mimetype, filename="secret", encrypt=True)
        return {**keys, "url": uri, "mimetype": mimetype}

    async def decrypt(self, uri, key, hashes, iv):
        came = await self.fetch(uri)
        self.check("the server knows an encrypted file as bytes", came.content_type, "application/octet-stream")
        return came.body, decrypt_attachment(came.body, key["k"], hashes["sha256"], iv)

    async def encrypted_file(self):
        data = secrets.token_bytes(200_000)
        file = await self.encrypt(data, "application/pdf")
        event = await self.send("m.file", "secret.pdf", file=file)
        # What nio makes of an event that it has decrypted; only there does it look for encrypted files.
        secret = Event.parse_decrypted_event(event.source)
        kept, read = await self.decrypt(secret.url, secret.key, secret.hashes, secret.iv)
        self.check("an encrypted file is not kept in the clear", kept != data)
        self.check("Bert decrypts what Anna encrypted", read == data)

    async def encrypted_image(self):
        data, small = png(640, 400), png(160, 100)
        file = await self.encrypt(data, "image/png")
        info = {"w": 640, "h": 400, "mimetype": "image/png", "thumbnail_file": await self.encrypt(small, "image/png")}
        event = await self.send("m.image", "secret.png", file=file, info=info)
        secret = Event.parse_decrypted_event(event.source)
        _, read = await self.decrypt(secret.url, secret.key, secret.hashes, secret.iv)
        self.check("Bert decrypts the picture", read == data)
        made = (secret.thumbnail_url, secret.thumbnail_key, secret.thumbnail_hashes, secret.thumbnail_iv)
        _, read = await self.decrypt(*made)
        self.check("and the thumbnail that Anna made", read == small)
        refused = await self.thumbnail(secret.url, 96, 96, ResizingMethod.crop)
        self.check("the server can make none", refused.transport_response.status, 400)

    async def at_once(self):
        data = [secrets.token_bytes(20_000 + number) for number in range(AT_ONCE)]
        uploads = await asyncio.gather(*(self.upload(each) for each in data))
        uris = [uri for uri, _ in uploads]
        self.check("each of many uploads at once has its address", len(set(uris)), AT_ONCE)
        came = await asyncio.gather(*(self.fetch(uri) for uri in uris))
        self.check("and its bytes", [each.body for each in came] == data)

    async def refusals(self):
        server = urlparse(self.text).netloc
        absent = await self.bert.client.download(f"mxc://{server}/nothing-of-this-name")
        came = (absent.transport_response.status, absent.status_code)
        self.check("there is nothing where nothing was uploaded", came, (404, "M_NOT_FOUND"))
        path = self.text.removeprefix("mxc://")
        stranger = account(self.base_url, "nobody")
        try:
            refused = await stranger.send("GET", f"/_matrix/client/v1/media/download/{path}")
            came = (refused.status, (await refused.json())["errcode"])
            self.check("a stranger downloads nothing", came, (401, "M_MISSING_TOKEN"))
            old = await stranger.send("GET", f"/_matrix/media/v3/download/{path}")
            self.check("nor in the way of old clients", old.status, 404)
        finally:
            await stranger.close()

    async def run(self):
        step = self.report.step
        # Without the two there is no story to tell.
        if await step("two people and a room", self.meet):
            await self.exchange()
        for person in filter(None, (self.anna, self.bert)):
            await person.stop()
            await person.client.close()

    async def exchange(self):
        step = self.report.step
        await step("what the server takes", self.config)
        sent = [
            await step("a file", self.file),
            await step("a file of unannounced length", self.unannounced),
            await step("an empty file", self.nothing),
            await step("a picture", self.image),
        ]
        if all(sent):
            await step("thumbnails", self.thumbnails)
            await step("an avatar", self.profile)
            await step("who gets nothing", self.refusals)
        await step("an encrypted file", self.encrypted_file)
        await step("an encrypted picture", self.encrypted_image)
        await step("many at once", self.at_once)
        self.check("no sync loop met an error", [self.anna.errors, self.bert.errors], [[], []])


def main():
    # nio warns of every error response that it parses; the scenario provokes some.
    logging.getLogger("nio").setLevel(logging.ERROR)
    media = Media(sys.argv[1].rstrip("/"), sys.argv[2] if len(sys.argv) > 2 else "")
    started = time.monotonic()
    asyncio.run(media.run())
    report = media.report
    print(f"{report.passed + report.failed} checks in {time.monotonic() - started:.1f} s")
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0


if __name__ == "__main__":
    sys.exit(main())
