/** What a scenario says of what it saw. */

import { isDeepStrictEqual } from "node:util";

const STEP_SECONDS = 60;

/** The step cannot go on; what was expected and what came is in the message. */
export class Failure extends Error {}

/** Prints and counts what was checked. */
export class Report {
    passed = 0;
    failed = 0;

    /** Without a third argument, `got` must be true. */
    check(what, got, ...wanted) {
        const want = wanted.length ? wanted[0] : true;
        if (isDeepStrictEqual(got, want)) {
            this.passed += 1;
            console.log(`    ok      ${what}`);
        } else {
            this.failed += 1;
            console.log(`    FAILED  ${what}\n            expected ${show(want)}\n            came     ${show(got)}`);
        }
    }

    /** Whether the story came to its end within its time. */
    async step(name, story, limit = STEP_SECONDS) {
        console.log(`  ${name}`);
        let timer;
        const deadline = new Promise((_, reject) => {
            timer = setTimeout(() => reject(new Failure(`it took longer than ${limit} s`)), limit * 1000);
        });
        try {
            await Promise.race([story(), deadline]);
            return true;
        } catch (error) {
            const what = error instanceof Failure ? error.message : (error.stack ?? error);
            this.failed += 1;
            console.log(`    FAILED  the step could not go on: ${what}`);
            return false;
        } finally {
            clearTimeout(timer);
        }
    }
}

export function show(value) {
    return JSON.stringify(value, (_, v) => (v instanceof Set ? [...v] : v)) ?? String(value);
}
