/** The SDK without its running commentary. */

import { logger } from "matrix-js-sdk/lib/logger.js";

// Some modules bind the shared logger's methods while they load, so it is silenced before.
logger.methodFactory = () => () => {};
logger.setLevel("silent", false);

export const sdk = await import("matrix-js-sdk");
export const quiet = { trace() {}, debug() {}, info() {}, warn() {}, error() {}, getChild: () => quiet };
