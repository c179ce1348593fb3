/** Pictures without a library for them. */

import { randomBytes } from "node:crypto";
import { crc32, deflateSync } from "node:zlib";

const SIGNATURE = Buffer.from("\x89PNG\r\n\x1a\n", "latin1");

function chunk(kind, data) {
    const body = Buffer.concat([Buffer.from(kind), data]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    sum.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, sum]);
}

/** A picture that no other is the same as: stripes, each of a colour of its own, that light falls through. */
export function png(width, height) {
    const header = Buffer.alloc(13);
    header.writeUInt32BE(width, 0);
    header.writeUInt32BE(height, 4);
    // Eight bits each of red, green, blue and how much of it there is.
    header.set([8, 6], 8);
    const stripe = () => Buffer.alloc(width * 4, Buffer.concat([randomBytes(3), Buffer.of(128)]));
    const rows = Array.from({ length: height }, () => Buffer.concat([Buffer.of(0), stripe()]));
    const pixels = deflateSync(Buffer.concat(rows));
    return Buffer.concat([SIGNATURE, chunk("IHDR", header), chunk("IDAT", pixels), chunk("IEND", Buffer.alloc(0))]);
}

/** Width and height of a picture of this format; nothing of another. */
export function sizeOf(picture) {
    return isPng(picture) ? [picture.readUInt32BE(16), picture.readUInt32BE(20)] : undefined;
}

/** Whether its colours come with how much of them there is. */
export function isTranslucent(picture) {
    return isPng(picture) && picture[25] === 6;
}

function isPng(bytes) {
    return bytes.subarray(0, SIGNATURE.length).equals(SIGNATURE);
}
