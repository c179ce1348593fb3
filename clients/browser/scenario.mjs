// A page in a real browser, cut off by killing the server, which goes on with nothing lost or doubled.
// Usage: node scenario.mjs PROGRAM CHROMIUM [SCREENSHOT]
// Starts PROGRAM, the server, in a folder of its own, and kills it with no warning while people talk.

import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { chromium } from "playwright-core";

const [programPath, browserProgram, screenshot] = process.argv.slice(2);
const program = resolve(programPath);
const SAID = 120;
const HEARTBEAT = 500;
const OFFLINE_AFTER = 1000;
let passed = 0;
let failed = 0;

function check(what, holds, about = "") {
    console.log(`${holds ? "ok" : "FAILED"}: ${what} ${holds ? "" : about}`);
    holds ? passed++ : failed++;
}

const sleep = (ms) => new Promise((again) => setTimeout(again, ms));

async function until(holds, patience = 60_000) {
    for (const end = Date.now() + patience; Date.now() < end; await sleep(50)) if (await holds()) return true;
    return false;
}

// Not one that the system gives to clients: who tries to connect to such a port while nobody listens may get it.
const port = 20_000 + Math.floor(Math.random() * 10_000);

const folder = await mkdtemp(join(tmpdir(), "hearth-browser-"));
const base = `http://127.0.0.1:${port}`;
let server;

async function start() {
    server = spawn(program, ["serve"], {
        cwd: folder,
        stdio: ["ignore", "ignore", "pipe"],
        env: {
            ...process.env,
            HEARTH_DATA_DIR: join(folder, "data"),
            HEARTH_LISTEN: new URL(base).host,
            HEARTH_SERVER_NAME: "browser.test",
            HEARTH_REGISTRATION__MODE: "open",
            HEARTH_LIMITS__ENABLED: "false",
            HEARTH_STREAM__HEARTBEAT: `${HEARTBEAT}ms`,
            HEARTH_PRESENCE__OFFLINE_AFTER: `${OFFLINE_AFTER}ms`,
        },
    });
    let said = "";
    server.stderr.on("data", (piece) => (said += piece));
    const ready = () => fetch(`${base}/ready`).then((reply) => reply.ok, () => false);
    if (!(await until(ready, 120_000))) throw new Error(`the server does not start: ${said}`);
}

async function call(method, path, body, token) {
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const response = await fetch(`${base}/_matrix/client/v3${path}`, { method, headers, body: body && JSON.stringify(body) });
    return response.json();
}

const register = (username) =>
    call("POST", "/register", { username, password: username, auth: { type: "m.login.dummy" } });

// Says something as often as it takes until it is acknowledged.
async function say(room, number, token) {
    const path = `/rooms/${encodeURIComponent(room)}/send/m.room.message/${number}`;
    for (;;) {
        const reply = await call("PUT", path, { msgtype: "m.text", body: `message ${number}` }, token).catch(() => ({}));
        if (reply.event_id) return reply.event_id;
        await sleep(50);
    }
}

async function crashUnder(transport, browser, pages) {
    const [alice, bob] = [await register(`alice-${transport}`), await register(`bob-${transport}`)];
    const { room_id: room } = await call("POST", "/createRoom", { preset: "public_chat" }, alice.access_token);
    await call("POST", `/join/${encodeURIComponent(room)}`, {}, bob.access_token);
    const page = await browser.newPage();
    await page.goto(`${pages}#${transport}`);
    await page.evaluate((session) => sessionStorage.setItem("session", JSON.stringify(session)), { base, token: bob.access_token });
    await page.reload();
    check(`${transport}: the page has a stream`, await until(() => page.evaluate(() => window.opened === 1)));
    const sent = [];
    for (let number = 0; number < SAID; number++) {
        const sending = say(room, number, alice.access_token);
        if (number === SAID / 3) {
            const gone = new Promise((exit) => server.once("exit", exit));
            server.kill("SIGKILL");
            await gone;
            await start();
        }
        sent.push(await sending);
    }
    const heard = () => page.evaluate(() => window.heard);
    await until(async () => (await heard()).some(({ id }) => id === sent.at(-1)));
    const told = await heard();
    check(`${transport}: it was cut off and came back`, (await page.evaluate(() => window.opened)) >= 2);
    check(`${transport}: nothing was left out`, told.every(({ limited }) => !limited));
    check(`${transport}: each message once and in order`, told.map(({ id }) => id).join() === sent.join(), `${told.length} of ${sent.length}`);
    if (screenshot) await page.screenshot({ path: screenshot.replace(/(\.png)?$/, `-${transport}.png`) });
    return { alice, bob };
}

// How long it takes until somebody's presence is told to somebody else by sync.
async function becomes(state, of, viewer, since) {
    const begun = Date.now();
    for (let token = since; Date.now() - begun < 30_000; ) {
        const sync = await call("GET", `/sync?timeout=2000&since=${token}`, undefined, viewer.access_token);
        token = sync.next_batch;
        const events = sync.presence?.events ?? [];
        if (events.some(({ sender, content }) => sender === of.user_id && content.presence === state)) return Date.now() - begun;
    }
    return Infinity;
}

const html = await readFile(new URL("page.html", import.meta.url));
const pages = createServer((_, reply) => reply.setHeader("content-type", "text/html").end(html));
await new Promise((listening) => pages.listen(0, "127.0.0.1", listening));
const processes = await chromium.launchServer({ executablePath: browserProgram, args: ["--no-sandbox"] });
try {
    await start();
    const browser = await chromium.connect(processes.wsEndpoint());
    const address = `http://127.0.0.1:${pages.address().port}/`;
    await crashUnder("sse", browser, address);
    const { alice, bob } = await crashUnder("ws", browser, address);
    // What a killed server saw of people is believed until its lease is over.
    await sleep(20_000);
    const { next_batch: since } = await call("GET", "/sync?timeout=0", undefined, alice.access_token);
    const offline = becomes("offline", bob, alice, since);
    // Without goodbye: the browser is gone at once.
    await processes.kill();
    const took = await offline;
    const most = 2 * HEARTBEAT + OFFLINE_AFTER + 5_000;
    check("whoever is gone goes offline on time", took >= OFFLINE_AFTER - 100 && took < most, `${took} ms`);
} finally {
    server.kill("SIGTERM");
    pages.close();
    await until(() => server.exitCode !== null || server.signalCode !== null, 30_000);
    await rm(folder, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
