/**
 * Two people who send each other files and pictures, as matrix-js-sdk uploads and Element downloads them.
 *
 * Usage: media.mjs BASE_URL [REGISTRATION_TOKEN]
 *
 * The SDK gives the addresses of media and leaves it to the page to fetch them; it has nothing for uploads to an
 * address that is given out before.
 */

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { register } from "./account.mjs";
import { decrypt, encrypt } from "./attachment.mjs";
import { Person, random, refusal, seconds } from "./person.mjs";
import { isTranslucent, png, sizeOf } from "./picture.mjs";
import { Failure, Report } from "./report.mjs";
import { sdk } from "./sdk.mjs";
import { XMLHttpRequest } from "./xhr.mjs";

const { MediaPrefix, Method, MsgType, Preset } = sdk;

const LARGE = 8 * 1024 * 1024;
const BYTES = "application/octet-stream";
// In networks that a server has no business in, whoever asks it to.
const ELSEWHERE = [
    "http://[::1]/",
    "http://10.0.0.1/",
    "http://192.168.1.1/admin",
    "http://169.254.169.254/latest/meta-data/",
    "file:///etc/passwd",
];

class Media {
    report = new Report();
    check = (...facts) => this.report.check(...facts);

    constructor(baseUrl, token) {
        this.baseUrl = baseUrl;
        this.token = token;
    }

    async newcomer(name) {
        const person = new Person(name, this.baseUrl, await register(this.baseUrl, name, this.token));
        await person.start();
        return person;
    }

    async meet() {
        this.anna = await this.newcomer("anna");
        this.bert = await this.newcomer("bert");
        const { anna, bert } = this;
        const creation = { preset: Preset.TrustedPrivateChat, invite: [bert.userId] };
        this.room = (await anna.client.createRoom(creation)).room_id;
        await bert.client.joinRoom(this.room);
        for (const person of [anna, bert]) {
            await person.until("the room", () => person.membership(this.room) === "join");
        }
        this.check("the two share a room", true);
    }

    async config() {
        const config = await this.anna.client.getMediaConfig(true);
        this.check("the largest upload is told", Number.isInteger(config["m.upload.size"]));
        this.check("it can hold what follows", config["m.upload.size"] > LARGE);
        this.check("the older endpoint says the same", await this.anna.client.getMediaConfig(), config);
    }

    /** The content of a message that Anna sends, as it comes to Bert. */
    async send(content) {
        const { event_id: id } = await this.anna.client.sendMessage(this.room, content);
        await this.bert.until(`an ${content.msgtype}`, () => this.bert.has(this.room, id));
        return this.bert.room(this.room).findEventById(id).getContent();
    }

    /** Where a medium is fetched by who has a token, or its thumbnail of a size. */
    address(uri, [width, height, method] = []) {
        return this.bert.client.mxcUrlToHttp(uri, width, height, method, false, true, true);
    }

    /** The answer that Bert gets, who fetches as Element does. */
    fetch(uri, { size, headers = {}, timeout } = {}) {
        const url = new URL(this.address(uri, size));
        if (timeout !== undefined) url.searchParams.set("timeout_ms", timeout);
        const authorization = `Bearer ${this.bert.client.getAccessToken()}`;
        return fetch(url, { headers: { Authorization: authorization, ...headers } });
    }

    async download(uri, options) {
        const response = await this.fetch(uri, options);
        if (!response.ok) throw new Failure(`fetching ${uri}: ${response.status} ${await response.text()}`);
        return Buffer.from(await response.arrayBuffer());
    }

    async upload(data, options = {}) {
        const { content_uri: uri } = await this.anna.client.uploadContent(data, options);
        return uri;
    }

    /** Not as in a browser: there, the SDK escapes the name twice. */
    async named() {
        const data = Buffer.from("Rosen am Zaun");
        const uri = await this.upload(data, { name: "Plan für den Garten – 2.txt", type: "text/plain" });
        const response = await this.fetch(uri);
        const name = /filename\*=utf-8''(.*)$/i.exec(response.headers.get("Content-Disposition"))?.[1];
        this.check("a name of any letters is kept", name && decodeURIComponent(name), "Plan für den Garten – 2.txt");
        this.check("and the content", await response.text(), "Rosen am Zaun");
    }

    async file() {
        const { anna, check } = this;
        const data = randomBytes(1_000_000);
        const progress = [];
        const file = new File([data], "garden-plan.pdf", { type: "application/pdf" });
        const upload = anna.client.uploadContent(file, { progressHandler: (step) => progress.push(step) });
        check("an upload is under way", anna.client.getCurrentUploads().length, 1);
        this.pdf = (await upload).content_uri;
        const server = anna.userId.slice(anna.userId.indexOf(":") + 1);
        check("it gets an address of this server", this.pdf.startsWith(`mxc://${server}/`));
        check("it is over", anna.client.getCurrentUploads(), []);
        const loaded = progress.map((step) => step.loaded);
        const rising = loaded.every((now, at) => at === 0 || now > loaded[at - 1]);
        check("its progress is told in steps", loaded.length > 1 && rising);
        check("up to the end", progress.at(-1), { loaded: data.length, total: data.length });
        const info = { size: data.length, mimetype: file.type };
        const content = await this.send({ msgtype: MsgType.File, body: file.name, url: this.pdf, info });
        check("the file comes as a message", [content.url, content.info], [this.pdf, info]);
        const response = await this.fetch(content.url);
        check("Bert downloads what Anna uploaded", Buffer.from(await response.arrayBuffer()).equals(data));
        check("with its type", response.headers.get("Content-Type"), "application/pdf");
        const name = response.headers.get("Content-Disposition");
        check("and its name", /^(attachment|inline); filename="?garden-plan\.pdf"?$/.test(name));
        await this.parts(data, response.headers.get("ETag"));
    }

    /** What a browser asks for who winds a film forward, or has the file already. */
    async parts(data, tag) {
        const part = await this.fetch(this.pdf, { headers: { Range: "bytes=500000-500999" } });
        const range = [part.status, part.headers.get("Content-Range")];
        this.check("a part can be had", range, [206, `bytes 500000-500999/${data.length}`]);
        const came = Buffer.from(await part.arrayBuffer());
        this.check("it is the right one", came.equals(data.subarray(500_000, 501_000)));
        const kept = await this.fetch(this.pdf, { headers: { "If-None-Match": tag } });
        this.check("what is kept is not sent again", kept.status, 304);
    }

    async cancel() {
        const { anna, check } = this;
        const stop = { name: "unwanted.bin", progressHandler: () => anna.client.cancelUpload(upload) };
        const upload = anna.client.uploadContent(new Blob([randomBytes(LARGE)]), stop);
        const end = await upload.then(() => "uploaded", (error) => error.name);
        check("an upload can be cancelled", end, "AbortError");
        check("nothing of it is under way", anna.client.getCurrentUploads(), []);
    }

    async image() {
        const { check } = this;
        const data = png(1000, 600);
        this.picture = await this.upload(data, { name: "garden.png", type: "image/png" });
        const info = { w: 1000, h: 600, size: data.length, mimetype: "image/png" };
        const content = await this.send({ msgtype: MsgType.Image, body: "garden.png", url: this.picture, info });
        check("the picture comes as a message", [content.url, content.info], [this.picture, info]);
        check("Bert sees the picture that Anna has", (await this.download(content.url)).equals(data));
        const sizes = [
            [[320, 240, "scale"], [320, 192]],
            [[800, 600, "scale"], [800, 480]],
            [[96, 96, "crop"], [96, 96]],
            [[1200, 900, "scale"], [1000, 600]],
        ];
        for (const [size, made] of sizes) {
            const [width, height, method] = size;
            const thumbnail = await this.download(this.picture, { size });
            check(`${method} to ${width} by ${height} makes ${made.join(" by ")}`, sizeOf(thumbnail), made);
        }
        const thumbnail = await this.download(this.picture, { size: [96, 96, "crop"] });
        check("light falls through it still", isTranslucent(thumbnail));
        const refused = await this.fetch(this.pdf, { size: [96, 96, "crop"] });
        check("a document has no thumbnail", refused.status, 400);
    }

    async avatar() {
        const { anna, bert, check, room } = this;
        await anna.client.setAvatarUrl(this.picture);
        const shown = () => bert.room(room).getMember(anna.userId).getMxcAvatarUrl();
        await bert.until("Anna's picture", () => shown() === this.picture);
        check("an avatar is seen small", sizeOf(await this.download(shown(), { size: [32, 32, "crop"] })), [32, 32]);
    }

    /** What stands in a message in place of an address. */
    async seal(data) {
        const { bytes, info } = await encrypt(data);
        const url = await this.upload(bytes, { includeFilename: false, type: BYTES });
        return { ...info, url };
    }

    async open(file) {
        const response = await this.fetch(file.url);
        const bytes = Buffer.from(await response.arrayBuffer());
        return { bytes, type: response.headers.get("Content-Type"), data: await decrypt(bytes, file) };
    }

    async encrypted() {
        const { check } = this;
        const [data, small] = [png(640, 400), png(160, 100)];
        const info = { w: 640, h: 400, mimetype: "image/png", thumbnail_file: await this.seal(small) };
        const sealed = { msgtype: MsgType.Image, body: "secret.png", file: await this.seal(data), info };
        const content = await this.send(sealed);
        check("the keys come as they were sent", [content.file, content.info], [sealed.file, info]);
        const opened = await this.open(content.file);
        check("the server knows an encrypted file as bytes", [opened.type, opened.bytes.equals(data)], [BYTES, false]);
        check("Bert decrypts the picture", opened.data?.equals(data));
        const thumbnail = await this.open(content.info.thumbnail_file);
        check("and the thumbnail that Anna made", thumbnail.data?.equals(small));
        const refused = await this.fetch(content.file.url, { size: [96, 96, "crop"] });
        check("the server can make none", refused.status, 400);
    }

    async large() {
        const data = randomBytes(LARGE);
        const progress = [];
        const file = new Blob([data], { type: "video/mp4" });
        let started = performance.now();
        const progressHandler = (step) => progress.push(step.loaded);
        const uri = await this.upload(file, { name: "bees.mp4", progressHandler });
        console.log(`    ${LARGE >> 20} MB uploaded in ${seconds(started).toFixed(1)} s, ${progress.length} steps`);
        this.check("its progress is told to the end", progress.at(-1), LARGE);
        const { url } = await this.send({ msgtype: MsgType.Video, body: "bees.mp4", url: uri });
        started = performance.now();
        const came = await this.download(url);
        console.log(`    and downloaded in ${seconds(started).toFixed(1)} s`);
        this.check("a large file comes whole", came.equals(data));
    }

    /** An address that is given out, and what is put there. */
    reserve() {
        const options = { prefix: MediaPrefix.V1 };
        return this.anna.client.http.authedRequest(Method.Post, "/create", undefined, {}, options);
    }

    fill(person, uri, data) {
        const path = `/upload/${uri.slice("mxc://".length)}`;
        const options = { prefix: MediaPrefix.V3, headers: { "Content-Type": "text/plain" } };
        return person.client.http.authedRequest(Method.Put, path, { filename: "later.txt" }, data, options);
    }

    async later() {
        const { anna, bert, check } = this;
        const { content_uri: uri, unused_expires_at: expires } = await this.reserve();
        check("an address is given out, for a time", uri.startsWith("mxc://") && expires > Date.now());
        const { url } = await this.send({ msgtype: MsgType.File, body: "later.txt", url: uri });
        const early = await this.fetch(url, { timeout: 0 });
        const told = [early.status, (await early.json()).errcode];
        check("who does not wait is told that nothing has come", told, [504, "M_NOT_YET_UPLOADED"]);
        const data = `later, ${random(8)}`;
        const fill = async () => {
            check("nobody else fills it", await refusal(this.fill(bert, uri, "Bert's")), [403, "M_FORBIDDEN"]);
            await this.fill(anna, uri, data);
        };
        const [came] = await Promise.all([this.download(url, { timeout: 20_000 }), fill()]);
        check("who waits gets what comes", String(came), data);
        const again = await refusal(this.fill(anna, uri, "something else"));
        check("it is filled once", again, [409, "M_CANNOT_OVERWRITE_MEDIA"]);
        check("and stays as it is", String(await this.download(url)), data);
    }

    async refusals() {
        const { bert, check } = this;
        const stranger = await fetch(this.address(this.pdf));
        const told = [stranger.status, (await stranger.json()).errcode];
        check("a stranger downloads nothing", told, [401, "M_MISSING_TOKEN"]);
        const old = await fetch(bert.client.mxcUrlToHttp(this.pdf));
        check("nor in the way of old clients", old.status, 404);
        const absent = await this.fetch(`${this.pdf}-not`);
        const nothing = [absent.status, (await absent.json()).errcode];
        check("there is nothing where nothing was uploaded", nothing, [404, "M_NOT_FOUND"]);
    }

    async previews() {
        const asked = [];
        const page = createServer((request, response) => {
            asked.push(request.url);
            response.setHeader("Content-Type", "text/html").end("<title>Keep out</title>");
        });
        await once(page.listen(0, "127.0.0.1"), "listening");
        const { port } = page.address();
        const hosts = ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"];
        const here = hosts.map((host) => `http://${host}:${port}/`);
        for (const address of [...here, ...ELSEWHERE]) {
            const refused = await refusal(this.anna.client.getUrlPreview(address, Date.now()));
            const answer = address.startsWith("http") ? [502, "M_UNKNOWN"] : [400, "M_INVALID_PARAM"];
            this.check(`there is no preview of ${address}`, refused, answer);
        }
        this.check("nobody has asked for the page", asked, []);
        page.close();
    }

    async run() {
        const { report } = this;
        // Without the two there is no story to tell.
        if (await report.step("two people and a room", () => this.meet())) await this.exchange();
        for (const person of [this.anna, this.bert]) person?.client.stopClient();
    }

    async exchange() {
        const { report } = this;
        await report.step("what the server takes", () => this.config());
        await report.step("the name of a file", () => this.named());
        // From here on the SDK takes the way that it takes in a browser.
        globalThis.XMLHttpRequest = XMLHttpRequest;
        if (await report.step("a file", () => this.file())) {
            await report.step("who gets nothing", () => this.refusals());
            if (await report.step("a picture and its thumbnails", () => this.image())) {
                await report.step("an avatar", () => this.avatar());
            }
        }
        await report.step("an upload cancelled", () => this.cancel());
        await report.step("an encrypted picture", () => this.encrypted());
        await report.step("a large file", () => this.large());
        await report.step("a file that comes later than its address", () => this.later());
        await report.step("previews of what the server does not look at", () => this.previews());
        this.check("no sync loop met an error", [this.anna.errors, this.bert.errors], [[], []]);
    }
}

const [baseUrl, token = ""] = process.argv.slice(2);
const media = new Media(baseUrl.replace(/\/+$/, ""), token);
const started = performance.now();
await media.run();
const { passed, failed } = media.report;
console.log(`${passed + failed} checks in ${seconds(started).toFixed(1)} s`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed || !passed ? 1 : 0);
