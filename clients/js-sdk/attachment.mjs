/** Attachments encrypted with the browser's own cryptography, as Element encrypts them. */

const { subtle } = globalThis.crypto;

const base64 = (bytes) => Buffer.from(bytes).toString("base64").replace(/=+$/, "");
// Half of the block is chosen at random, the other half counts.
const cipher = (counter) => ({ name: "AES-CTR", counter, length: 64 });

/** The bytes to upload, and what a message says of them beside their address. */
export async function encrypt(data) {
    const iv = new Uint8Array(16);
    globalThis.crypto.getRandomValues(iv.subarray(0, 8));
    const key = await subtle.generateKey({ name: "AES-CTR", length: 256 }, true, ["encrypt", "decrypt"]);
    const bytes = Buffer.from(await subtle.encrypt(cipher(iv), key, data));
    const hashes = { sha256: base64(await subtle.digest("SHA-256", bytes)) };
    return { bytes, info: { v: "v2", key: await subtle.exportKey("jwk", key), iv: base64(iv), hashes } };
}

/** What was encrypted, by the `file` of a message; nothing where the bytes are others. */
export async function decrypt(bytes, { v, key, iv, hashes }) {
    if (v !== "v2" || base64(await subtle.digest("SHA-256", bytes)) !== hashes.sha256) return undefined;
    const imported = await subtle.importKey("jwk", key, { name: "AES-CTR" }, false, ["decrypt"]);
    return Buffer.from(await subtle.decrypt(cipher(Buffer.from(iv, "base64")), imported, bytes));
}
