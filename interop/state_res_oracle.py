"""Records what Synapse makes of small, hostile room histories.

Usage: state_res_oracle.py [--cases-per-version N] [--seed S] [--output FILE]

Every case is a simulated room: events are put on random earlier events (forks), the state
before each is what Synapse's resolver says, its auth events are what Synapse's selection
picks (or, sometimes, what a liar would pick), and Synapse's auth rules decide whether it is
rejected. Resolutions and verdicts are written as JSON lines; README.md has the format.

Needs `matrix-synapse` to be importable; it never talks to a server.
"""

import argparse
import gzip
import io
import itertools
import json
import logging
import random
import sys
from collections import Counter
from pathlib import Path

import synapse
from oracle.story import Story
from oracle.synapse_says import (
    VERSIONS,
    check_full_conflicted_set,
    compare_with_synapse,
    differing_keys,
    other_algorithm,
)

MAX_RESOLUTIONS = 6
WIRE_FIELDS = (
    "event_id", "type", "state_key", "sender", "content", "redacts", "auth_events", "prev_events",
    "origin_server_ts", "depth",
)  # fmt: skip


def newest_wins(room, states):
    """What a server without state resolution might do."""
    result = {}
    for key in {k for s in states for k in s}:
        candidates = {s[key] for s in states if key in s}
        result[key] = max(candidates, key=lambda i: (room.events[i].origin_server_ts, i))
    return result


def survey(room, count):
    """Counts what makes the case worth keeping."""
    count["cases"] += 1
    count["events"] += len(room.events)
    count["rejected events"] += sum(e.rejected_reason is not None for e in room.events.values())
    count["cases with rejected events"] += any(e.rejected_reason for e in room.events.values())
    for verdict in room.verdicts:
        count["verdicts"] += 1
        count["denied by the state-independent rules"] += not verdict["independent"]
        count["denied by the state-dependent rules"] += verdict["dependent"] is False
    special = Counter()
    for states, resolved in room.resolutions:
        count["resolutions"] += 1
        held = {i for s in states for i in s.values()}
        special["with a conflict of values"] += any(
            len({s[k] for s in states if k in s}) > 1 for k in differing_keys(states)
        )
        special["unlike newest-wins"] += resolved != newest_wins(room, states)
        special["bringing back an event of none of the states"] += not set(resolved.values()) <= held
        special["dropping a key that some state has"] += any(k not in resolved for s in states for k in s)
        special["unlike every one of the states"] += all(resolved != s for s in states)
        special["where another algorithm differs"] += resolved != other_algorithm(room, states)
    for what, number in special.items():
        count[f"resolutions {what}"] += number
        count[f"cases {what}"] += number > 0


def wire_form(event):
    wire = {name: event.wire[name] for name in WIRE_FIELDS if name in event.wire}
    return {**wire, "rejected": True} if event.rejected_reason else wire


def case(room):
    def listed(state):
        return [state[key] for key in sorted(state)]

    return {
        "room_version": room.name,
        "room_id": room.room_id,
        "events": [wire_form(event) for event in room.events.values()],
        "probes": [wire_form(event) for event in room.probes],
        "resolutions": [
            {"state_sets": [listed(state) for state in states], "resolved": listed(resolved)}
            for states, resolved in room.resolutions
        ],
        "verdicts": room.verdicts,
    }


def sample_resolutions(room):
    """At most a handful per room, each different, those that a wrong resolver gets wrong first."""

    def ease(resolution):
        states, resolved = resolution
        held = {i for s in states for i in s.values()}
        return (
            resolved == other_algorithm(room, states),
            set(resolved.values()) <= held,
            resolved == newest_wins(room, states),
        )

    unique = {json.dumps(sorted(sorted(s.items()) for s in r[0])): r for r in room.resolutions}
    room.resolutions = sorted(unique.values(), key=ease)[:MAX_RESOLUTIONS]


def tell(name, number, seed):
    for attempt in itertools.count():
        rng = random.Random(f"{seed}/{name}/{number}/{attempt}")
        room = Story(name, rng)
        room.grow(rng.randint(14, 38))
        sample_resolutions(room)
        # A history in which nothing was ever in conflict teaches nothing.
        if room.resolutions:
            return room


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases-per-version", type=int, default=175)
    parser.add_argument("--seed", default="hearth")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("state_res_oracle.jsonl.gz"))
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    compare_with_synapse()

    totals, text = Counter(), io.StringIO()
    for name in VERSIONS:
        count = Counter()
        for number in range(options.cases_per_version):
            room = tell(name, number, options.seed)
            for states, _ in room.resolutions:
                check_full_conflicted_set(room, states)
            survey(room, count)
            text.write(json.dumps(case(room), separators=(",", ":")) + "\n")
        totals += count
        print(
            f"version {name:>2}: {count['cases']} cases, {count['resolutions']} resolutions"
            f" ({count['resolutions unlike newest-wins']} unlike newest-wins,"
            f" {count['resolutions where another algorithm differs']} where another algorithm differs),"
            f" {count['rejected events']} of {count['events']} events rejected"
        )
    # Without a time in it, equal contents are an equal file.
    options.output.write_bytes(gzip.compress(text.getvalue().encode(), 9, mtime=0))
    print(f"Synapse {synapse.__version__}, {options.output.stat().st_size / 1e6:.2f} MB")
    for what, number in totals.items():
        print(f"{number:7} {what}")


if __name__ == "__main__":
    sys.exit(main())
