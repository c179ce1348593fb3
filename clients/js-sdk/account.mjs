/** Accounts, and what they do over plain HTTP. */

import { randomUUID } from "node:crypto";
import { Failure } from "./report.mjs";

/** The status and the reply to a request of a person, or of nobody. */
async function call(baseUrl, person, method, path, body) {
    const headers = person ? { Authorization: `Bearer ${person.access_token}` } : {};
    const response = await fetch(`${baseUrl}/_matrix/client/v3${path}`, {
        method,
        headers,
        body: body && JSON.stringify(body),
    });
    return [response.status, await response.json()];
}

/** The reply, unless it is an error. */
export async function must(baseUrl, person, method, path, body) {
    const [status, reply] = await call(baseUrl, person, method, path, body);
    if (status !== 200) throw new Failure(`${method} ${path}: ${status} ${JSON.stringify(reply)}`);
    return reply;
}

/** A new account by the first flow on offer; it is logged in. */
export async function register(baseUrl, name, token) {
    const body = { username: `${name}-${randomUUID()}`, password: randomUUID() };
    let [status, reply] = await call(baseUrl, undefined, "POST", "/register", body);
    const stages = { "m.login.registration_token": { token }, "m.login.dummy": {} };
    for (const type of reply.flows?.[0].stages ?? []) {
        const auth = { type, session: reply.session, ...stages[type] };
        [status, reply] = await call(baseUrl, undefined, "POST", "/register", { ...body, auth });
    }
    if (status !== 200) throw new Failure(`not registered: ${JSON.stringify(reply)}`);
    return reply;
}
