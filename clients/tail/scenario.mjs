// Lets tail.mjs listen to a room over each transport, and holds what it prints against what was said.
// Usage: node scenario.mjs BASE_URL REGISTRATION_TOKEN_OR_EMPTY

import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";

const [base, registrationToken] = process.argv.slice(2);
let passed = 0;
let failed = 0;

function check(what, holds) {
    console.log(`${holds ? "ok" : "FAILED"}: ${what}`);
    holds ? passed++ : failed++;
}

async function call(method, path, body, token) {
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const response = await fetch(`${base}/_matrix/client/v3${path}`, { method, headers, body: JSON.stringify(body) });
    return [response.status, await response.json()];
}

async function register(name) {
    const body = { username: `${name}-${randomUUID()}`, password: randomUUID() };
    let [status, reply] = await call("POST", "/register", body);
    const stages = { "m.login.registration_token": { token: registrationToken }, "m.login.dummy": {} };
    for (const type of reply.flows?.[0].stages ?? []) {
        const auth = { type, session: reply.session, ...stages[type] };
        [status, reply] = await call("POST", "/register", { ...body, auth });
    }
    if (status !== 200) throw new Error(`not registered: ${JSON.stringify(reply)}`);
    return reply;
}

function tail(token, room, transport) {
    const program = fileURLToPath(new URL("tail.mjs", import.meta.url));
    const child = spawn(process.execPath, [program, base, room, transport], {
        env: { ...process.env, ACCESS_TOKEN: token },
    });
    const told = { text: "", child };
    child.stdout.on("data", (piece) => (told.text += piece));
    child.stderr.on("data", (piece) => (told.text += piece));
    return told;
}

async function until(holds) {
    for (let tries = 0; tries < 200 && !holds(); tries++) await new Promise((again) => setTimeout(again, 50));
    return holds();
}

const alice = await register("alice");
const bob = await register("bob");
const [, { room_id: room }] = await call("POST", "/createRoom", { preset: "public_chat" }, alice.access_token);
await call("POST", `/join/${encodeURIComponent(room)}`, {}, bob.access_token);
let number = 0;
const say = async (body) => {
    const path = `/rooms/${encodeURIComponent(room)}/send/m.room.message/${number++}`;
    await call("PUT", path, { msgtype: "m.text", body }, alice.access_token);
};
for (const transport of ["ws", "sse"]) {
    const told = tail(bob.access_token, room, transport);
    await say(`before ${transport}`);
    check(`${transport}: what was said before is told`, await until(() => told.text.includes(`before ${transport}`)));
    for (let count = 0; count < 20; count++) await say(`${transport} message ${count}`);
    check(`${transport}: the last comes`, await until(() => told.text.includes(`${transport} message 19`)));
    const heard = [...told.text.matchAll(new RegExp(`${alice.user_id}: ${transport} message (\\d+)`, "g"))];
    check(`${transport}: each once and in order`, heard.map(([, n]) => n).join() === [...Array(20).keys()].join());
    told.child.kill();
}
const refused = tail("nonsense", room, "ws");
check("who may not listen is told so", await until(() => refused.text.includes("M_UNKNOWN_TOKEN")));
refused.child.kill();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
