#!/usr/bin/env node
// Prints what is said in a room as it is said: an example for programs that have nothing but HTTP.
//
//   ACCESS_TOKEN=… node tail.mjs http://127.0.0.1:8008 '!room:example.org' [ws|sse]
//
// Over a WebSocket (ws) or as server-sent events (sse). When the connection ends it goes on where it was.
// Needs Node 22 or newer and no packages.

const [base, room, transport = "ws"] = process.argv.slice(2);
const token = process.env.ACCESS_TOKEN;
if (!base || !room || !token || !["ws", "sse"].includes(transport)) {
    console.error("usage: ACCESS_TOKEN=… node tail.mjs BASE_URL ROOM_ID [ws|sse]");
    process.exit(2);
}
const address = new URL("/_matrix/client/unstable/hearth/stream", base);
const filter = { room: { rooms: [room] }, presence: { types: [] }, account_data: { types: [] } };
let since;

function show(update) {
    since = update.next_batch;
    for (const event of update.rooms?.join?.[room]?.timeline?.events ?? []) {
        if (event.type === "m.room.message") {
            console.log(`${new Date(event.origin_server_ts).toISOString()} ${event.sender}: ${event.content.body}`);
        }
    }
}

function overWebSocket() {
    return new Promise((resolve, reject) => {
        address.protocol = address.protocol.replace("http", "ws");
        const socket = new WebSocket(address, "m.json");
        socket.onopen = () => {
            const params = { access_token: token, filter, since };
            socket.send(JSON.stringify({ id: "auth", method: "auth", params }));
        };
        socket.onmessage = ({ data }) => {
            const message = JSON.parse(data);
            if (message.next_batch) show(message);
        };
        // 1008: whoever this is, they may not listen.
        socket.onclose = ({ code, reason }) => (code === 1008 ? reject(new Error(reason)) : resolve());
    });
}

async function asEvents() {
    address.searchParams.set("filter", JSON.stringify(filter));
    const headers = { Accept: "text/event-stream", Authorization: `Bearer ${token}` };
    if (since) headers["Last-Event-ID"] = since;
    const response = await fetch(address, { headers });
    if (response.status >= 400 && response.status < 500) throw new Error(await response.text());
    let text = "";
    for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
        const events = (text + piece).split("\n\n");
        text = events.pop();
        for (const event of events) {
            const data = event.match(/^event: sync\n[^]*^data: (.*)$/m)?.[1];
            if (data) show(JSON.parse(data));
        }
    }
}

for (;;) {
    const listening = transport === "ws" ? overWebSocket() : asEvents();
    await listening.catch((error) => {
        if (error.cause?.code !== "ECONNREFUSED" && error.name !== "TypeError") {
            console.error(error.message);
            process.exit(1);
        }
    });
    await new Promise((again) => setTimeout(again, 1000));
}
