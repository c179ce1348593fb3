/** As much of a browser's XMLHttpRequest as the SDK needs: from nothing else it hears how far an upload has come. */

import http from "node:http";
import https from "node:https";

const PIECE = 64 * 1024;

export class XMLHttpRequest {
    static DONE = 4;
    readyState = 0;
    status = 0;
    statusText = "";
    responseText = "";
    upload = {};
    headers = {};

    open(method, url) {
        this.method = method;
        this.responseURL = url;
    }

    setRequestHeader(name, value) {
        this.headers[name] = value;
    }

    getResponseHeader(name) {
        return this.response?.headers[name.toLowerCase()] ?? null;
    }

    getAllResponseHeaders() {
        return Object.entries(this.response?.headers ?? {})
            .map((header) => header.join(": "))
            .join("\r\n");
    }

    async send(body) {
        const bytes = Buffer.from(await new Blob([body]).arrayBuffer());
        const headers = { ...this.headers, "Content-Length": bytes.length };
        const { request } = this.responseURL.startsWith("https:") ? https : http;
        this.request = request(this.responseURL, { method: this.method, headers });
        this.request.on("error", () => this.#done());
        this.request.on("response", (response) => this.#receive(response));
        for (let loaded = 0; loaded < bytes.length && !this.request.destroyed; ) {
            const piece = bytes.subarray(loaded, loaded + PIECE);
            await new Promise((written) => this.request.write(piece, written));
            loaded += piece.length;
            if (!this.request.destroyed) this.upload.onprogress?.({ loaded, total: bytes.length });
        }
        this.request.end();
    }

    async #receive(response) {
        try {
            for await (const piece of response.setEncoding("utf8")) this.responseText += piece;
            Object.assign(this, { response, status: response.statusCode, statusText: response.statusMessage });
        } catch {
            // A connection that breaks leaves the status at 0, as in a browser.
        }
        this.#done();
    }

    #done() {
        if (this.readyState === XMLHttpRequest.DONE) return;
        this.readyState = XMLHttpRequest.DONE;
        this.onreadystatechange?.();
    }

    abort() {
        this.request?.destroy();
    }
}
