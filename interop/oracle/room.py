"""A room that grows as a DAG, each event judged by Synapse as on receipt."""

import json
import random
import string
from dataclasses import dataclass, field

import signedjson.key
import unpaddedbase64
from oracle.synapse_says import CREATE, Stand, dependent, independent, resolve
from synapse import event_auth
from synapse.api.room_versions import KNOWN_ROOM_VERSIONS, EventFormatVersions

SERVERS = ["a.test", "b.test", "c.test"]
NAMES = ["anna", "bert", "carl", "dora", "emil", "faye", "gus"]
USERS = [f"@{name}:{SERVERS[place % 3]}" for place, name in enumerate(NAMES)]
START = 1_700_000_000_000
TOPIC, NAME = "m.room.topic", "m.room.name"


@dataclass
class Room:
    """The DAG, the state after every event, and what Synapse said on the way."""

    name: str
    rng: random.Random
    events: dict = field(default_factory=dict)
    after: dict = field(default_factory=dict)
    heads: set = field(default_factory=set)
    resolutions: list = field(default_factory=list)
    verdicts: list = field(default_factory=list)
    room_id: str = ""
    clock: int = START

    def __post_init__(self):
        self.version = KNOWN_ROOM_VERSIONS[self.name]
        self.users = self.rng.sample(USERS, self.rng.randint(4, 7))
        self.creator = self.users[0]
        self.lies_about_depth = self.rng.random() < 0.15
        self.key = signedjson.key.decode_signing_key_base64(
            "ed25519", "1", unpaddedbase64.encode_base64(self.rng.randbytes(32))
        )

    def new_id(self, sender):
        letters = string.ascii_letters + string.digits + ("+/" if self.name == "3" else "-_")
        local = "".join(self.rng.choices(letters, k=5))
        if self.version.event_format == EventFormatVersions.ROOM_V1_V2:
            return f"${local}:{sender.split(':')[1]}"
        return f"${local}"

    def tick(self):
        # Clocks stand still often and run backwards sometimes.
        self.clock += self.rng.choice([0, 0, 0, 1, 1, 5, -3])
        return self.clock

    # Building

    def put(self, draft, prevs, before):
        """Makes the draft an event on top of `prevs`, judged as a server would on receipt."""
        event, picked = self.finish(draft, prevs, before, self.lie)
        claimed = [self.events[i] for i in event.auth_event_ids() if i in self.events]
        alone = independent(event, self.events)
        # Auth events that are wrong by themselves (say, two of one key) are no state to judge against.
        together = dependent(event, claimed) if alone else None
        in_state = dependent(event, picked)
        self.remember(event, alone, together)
        if {e.event_id for e in picked} != {e.event_id for e in claimed}:
            self.remember(event, alone, in_state, picked)
        if not (alone and together and in_state):
            event.rejected_reason = "auth"
        self.events[event.event_id] = event
        state = dict(before)
        if event.is_state() and not event.rejected_reason:
            state[event.key] = event.event_id
        self.after[event.event_id] = state
        self.heads = (self.heads - set(prevs)) | {event.event_id}
        return event

    def finish(self, draft, prevs, before, choose):
        wire = {"event_id": self.new_id(draft["sender"]), **draft, "prev_events": list(prevs)}
        wire["depth"] = 1 + max((self.events[i].depth for i in prevs), default=0)
        if self.lies_about_depth and prevs:
            wire["depth"] = self.rng.randint(1, 12)
        wire["origin_server_ts"] = self.tick()
        if wire["type"] == CREATE and not prevs:
            self.room_id = (
                "!" + wire["event_id"][1:]
                if self.version.msc4291_room_ids_as_hashes
                else f"!r:{wire['sender'].split(':')[1]}"
            )
        wire["auth_events"] = []
        event = Stand(wire, self.room_id, self.version)
        keys = sorted(event_auth.auth_types_for_event(self.version, event))
        picked = [self.events[before[key]] for key in keys if key in before]
        wire["auth_events"] = choose(event, keys, self.listed(picked))
        return event, picked

    def listed(self, picked):
        hidden = CREATE if self.version.msc4291_room_ids_as_hashes else None
        return [event.event_id for event in picked if event.type != hidden]

    def lie(self, event, keys, honest):
        """The auth events of an event: mostly what they should be."""
        roll = self.rng.random()
        if event.type == CREATE and not event.prev_event_ids():
            return []
        if len(self.events) < 8 or roll < 0.86:
            return honest
        if roll < 0.96:
            return self.stale(keys, honest)
        return self.malformed(honest)

    def stale(self, keys, honest):
        """Some auth events replaced by others of their key, from elsewhere in the room."""
        chosen = {self.events[i].key: i for i in honest}
        for key in keys:
            others = [
                e.event_id for e in self.events.values() if e.is_state() and e.key == key and not e.rejected_reason
            ]
            if others and key[0] != CREATE and self.rng.random() < 0.5:
                chosen[key] = self.rng.choice(others)
        return list(chosen.values())

    def malformed(self, honest):
        kind = self.rng.randrange(5)
        states = [e for e in self.events.values() if e.is_state()]
        have = {self.events[i].key for i in honest}
        if kind == 0 and honest:
            return honest[: self.rng.randrange(len(honest))]
        if kind == 1:
            return [*honest, *(e.event_id for e in states if e.type in (TOPIC, NAME))][: len(honest) + 1]
        if kind == 2:
            return [*honest, *(e.event_id for e in states if e.rejected_reason)][: len(honest) + 1]
        if kind == 3:
            return [*honest, *(e.event_id for e in states if e.key in have and e.event_id not in honest)][
                : len(honest) + 1
            ]
        return [*honest, *(e.event_id for e in states if e.type == CREATE)][: len(honest) + 1]

    def remember(self, event, alone, together, against=None):
        verdict = {"event": event.event_id, "independent": alone, "dependent": together}
        if against is not None:
            verdict["against"] = [e.event_id for e in against]
        self.verdicts.append(verdict)

    def state_before(self, prevs):
        states = self.distinct(prevs)
        if len(states) == 1:
            return states[0]
        return self.record(states)

    def distinct(self, ids):
        return list({json.dumps(sorted(self.after[i].items())): self.after[i] for i in ids}.values())

    def record(self, states):
        resolved = resolve(self.version, self.room_id, self.events, states)
        backwards = resolve(self.version, self.room_id, self.events, states[::-1])
        assert resolved == backwards, "the order of the states decides"
        self.resolutions.append((states, resolved))
        return resolved
