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
import string
import sys
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import canonicaljson
import signedjson.key
import signedjson.sign
import synapse
import unpaddedbase64
from synapse import event_auth
from synapse.api.errors import SynapseError
from synapse.api.room_versions import KNOWN_ROOM_VERSIONS, EventFormatVersions, StateResolutionVersions
from synapse.events import make_event_from_dict
from synapse.state import v1, v2
from synapse.storage.databases.main.event_federation import StateDifference

VERSIONS = [str(number) for number in range(1, 13)]
SERVERS = ["a.test", "b.test", "c.test"]
USERS = [f"@{name}:{SERVERS[place % 3]}" for place, name in enumerate(["anna", "bert", "carl", "dora", "emil", "faye", "gus"])]
START = 1_700_000_000_000
MAX_RESOLUTIONS = 6
PROBES = 8
CREATE, MEMBER, POWER = "m.room.create", "m.room.member", "m.room.power_levels"
RULES, TOPIC, NAME = "m.room.join_rules", "m.room.topic", "m.room.name"
THIRD_PARTY, ALIASES, REDACTION = "m.room.third_party_invite", "m.room.aliases", "m.room.redaction"
AUTHORISER = "join_authorised_via_users_server"


class Stand:
    """An event as Synapse's rules see one.

    Synapse's own class derives event ids from hashes. Ids here are short and made up, so
    that ties between them can be too and the file stays small. `compare_with_synapse`
    checks that a stand-in answers as the real class does.
    """

    def __init__(self, wire, room_id, version):
        self.wire = wire
        self.room_version = version
        self.room_id = room_id
        self.event_id = wire["event_id"]
        self.type = wire["type"]
        self.sender = wire["sender"]
        self.content = wire["content"]
        self.depth = wire["depth"]
        self.origin_server_ts = wire["origin_server_ts"]
        self.redacts = wire.get("redacts")
        self.rejected_reason = None
        self.format_version = version.event_format
        self.internal_metadata = SimpleNamespace()

    @property
    def state_key(self):
        return self.wire["state_key"]

    @property
    def membership(self):
        return self.content["membership"]

    @property
    def key(self):
        return (self.type, self.state_key)

    def is_state(self):
        return "state_key" in self.wire

    def get_state_key(self):
        return self.wire.get("state_key")

    def prev_event_ids(self):
        return self.wire["prev_events"]

    def auth_event_ids(self):
        ids = self.wire["auth_events"]
        if self.room_version.msc4291_room_ids_as_hashes and self.type != CREATE:
            # The room id names the create event, which is not listed.
            return [*ids, "$" + self.room_id[1:]]
        return ids

    def __contains__(self, name):
        if name == "room_id":
            return not (self.room_version.msc4291_room_ids_as_hashes and self.type == CREATE)
        return name in self.wire


def compare_with_synapse():
    """Stops when a stand-in differs from Synapse's event in what the rules read."""
    for name in VERSIONS:
        version = KNOWN_ROOM_VERSIONS[name]
        for kind, content in ((CREATE, {"creator": USERS[0]}), (MEMBER, {"membership": "join"})):
            wire = {
                "type": kind, "state_key": "", "sender": USERS[0], "content": content, "depth": 4,
                "auth_events": ["$auth:a.test"] if kind == MEMBER else [],
                "prev_events": ["$prev:a.test"] if kind == MEMBER else [],
                "origin_server_ts": START, "hashes": {"sha256": ""}, "signatures": {},
            }  # fmt: skip
            if not (version.msc4291_room_ids_as_hashes and kind == CREATE):
                wire["room_id"] = "!room:a.test"
            lists_ids = version.event_format == EventFormatVersions.ROOM_V1_V2
            as_synapse_has_it = dict(wire)
            if lists_ids:
                as_synapse_has_it["event_id"] = "$event:a.test"
                as_synapse_has_it |= {k: [[i, {}] for i in wire[k]] for k in ("auth_events", "prev_events")}
            real = make_event_from_dict(as_synapse_has_it, version)
            stand = Stand({**wire, "event_id": real.event_id}, real.room_id, version)
            for what in ("type", "state_key", "sender", "depth", "origin_server_ts", "redacts", "rejected_reason", "format_version"):
                assert getattr(real, what) == getattr(stand, what), (name, kind, what)
            for what in ("prev_event_ids", "auth_event_ids", "is_state", "get_state_key"):
                ours, theirs = getattr(stand, what)(), getattr(real, what)()
                assert ours == (list(theirs) if isinstance(ours, list) else theirs), (name, kind, what)
            assert ("room_id" in real) == ("room_id" in stand), (name, kind)


def run(coroutine):
    """Synapse's resolvers are coroutines that, on so little, never wait."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("the resolver waited for something")


class Store:
    """What the resolvers and rules fetch events from."""

    def __init__(self, events):
        self.events = events

    async def get_events(self, event_ids, *_, **__):
        return {i: self.events[i] for i in event_ids if i in self.events}

    async def get_auth_chain_difference(self, _room, _sets, conflicted, _more):
        # All events are handed to the resolver as "unpersisted", so it works the
        # difference and the conflicted subgraph out by itself; the store has nothing to add.
        return StateDifference(auth_difference=set(), conflicted_subgraph=None if conflicted is None else set())


class WithResolution:
    """A room version with another resolver, to see whether the choice matters."""

    def __init__(self, version, state_res):
        self._version = version
        self.state_res = state_res

    def __getattr__(self, name):
        return getattr(self._version, name)


def resolve(version, room_id, events, states):
    states = [dict(state) for state in states]
    store = Store(events)
    if version.state_res == StateResolutionVersions.V1:
        return dict(run(v1.resolve_events_with_store(room_id, version, states, dict(events), store.get_events)))
    return dict(run(v2.resolve_events_with_store(None, room_id, version, states, dict(events), store)))


def allowed(check):
    try:
        outcome = check()
        if outcome is not None:
            run(outcome)
    except SynapseError:
        # AuthError, and the errors for malformed power levels.
        return False
    return True


def independent(event, events):
    return allowed(lambda: event_auth.check_state_independent_auth_rules(Store(events), event))


def dependent(event, against):
    return allowed(lambda: event_auth.check_state_dependent_auth_rules(event, against))


@dataclass
class Room:
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
            self.room_id = "!" + wire["event_id"][1:] if self.version.msc4291_room_ids_as_hashes else f"!r:{wire['sender'].split(':')[1]}"
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
            others = [e.event_id for e in self.events.values() if e.is_state() and e.key == key and not e.rejected_reason]
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
            return [*honest, *(e.event_id for e in states if e.key in have and e.event_id not in honest)][: len(honest) + 1]
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

    # Telling a story

    def found(self):
        """The first events, as a client makes them, with now and then one missing."""
        rng, content = self.rng, {"room_version": self.name}
        owner = self.creator
        if not self.version.implicit_room_creator:
            if rng.random() < 0.05:
                neighbours = [u for u in self.users if u != owner and u.split(":")[1] == owner.split(":")[1]]
                owner = rng.choice(neighbours or [owner])
            content["creator"] = owner
        if rng.random() < 0.06:
            content["m.federate"] = False
        if self.version.msc4289_creator_power_enabled and rng.random() < 0.5:
            content["additional_creators"] = rng.sample(self.users[1:], rng.randint(1, 2))
        self.federates = content.get("m.federate", True)
        first = self.put(self.state(self.creator, CREATE, "", content), [], {})
        assert not first.rejected_reason
        creators = {self.creator, *content.get("additional_creators", [])}
        self.creators = creators if self.version.msc4289_creator_power_enabled else set()
        self.append(self.state(owner, MEMBER, owner, {"membership": "join"}))
        if rng.random() < 0.9:
            self.append(self.state(owner, POWER, "", self.first_levels(owner)))
        rule = rng.choice(["public", "public", "invite", *self.possible_rules()])
        self.append(self.state(owner, RULES, "", self.rule(rule)))
        for user in self.users[1 : rng.randint(3, len(self.users))]:
            # Of an invite to a foreign user of a room of one server, see `target`.
            if rule != "public" and (self.federates or user.split(":")[1] == owner.split(":")[1]):
                self.append(self.state(owner, MEMBER, user, {"membership": "invite"}))
            self.append(self.state(user, MEMBER, user, {"membership": "join"}))

    def first_levels(self, owner):
        levels = {"users": {} if owner in self.creators else {owner: 100}}
        for user in self.users[1:4]:
            if user not in self.creators and user != owner and self.rng.random() < 0.7:
                levels["users"][user] = self.rng.choice([25, 50, 50, 50, 100])
        for name, level in (("invite", 0), ("state_default", 50), ("ban", 50), ("kick", 50)):
            if self.rng.random() < 0.4:
                levels[name] = self.rng.choice([level, 0, 25, 50, 75])
        return levels

    def possible_rules(self):
        version = self.version
        return [
            *(["knock"] * version.knock_join_rule),
            *(["restricted"] * 2 * version.restricted_join_rule),
            *(["knock_restricted"] * version.knock_restricted_join_rule),
        ]

    def rule(self, name):
        content = {"join_rule": name}
        if "restricted" in name:
            content["allow"] = [{"type": "m.room_membership", "room_id": "!other:a.test"}]
        return content

    def state(self, sender, kind, key, content):
        return {"type": kind, "state_key": key, "sender": sender, "content": content}

    def append(self, draft):
        prevs = sorted(self.heads)
        return self.put(draft, prevs, self.state_before(prevs))

    def grow(self, length):
        self.found()
        base = len(self.events) - 1
        while len(self.events) < length:
            prevs = self.choose_prevs(base)
            before = self.state_before(prevs)
            self.put(self.draft(before), prevs, before)
        self.merge_at_random(base)
        self.probe()

    def choose_prevs(self, base):
        heads, order, roll = sorted(self.heads), list(self.events), self.rng.random()
        if roll < 0.35:
            return self.rng.sample(heads, min(len(heads), self.rng.randint(1, 3)))
        if roll < 0.5:
            return [self.rng.choice(heads)]
        pool = order[max(base, len(order) - 12) :] if roll < 0.95 else order[1:]
        return self.rng.sample(pool, min(len(pool), self.rng.choice([1, 1, 1, 2, 3])))

    def merge_at_random(self, base):
        """Resolutions of states from anywhere, as an event with such prev events would ask for."""
        self.state_before(sorted(self.heads))
        late = list(self.events)[base:]
        for _ in range(12):
            self.state_before(self.rng.sample(late, min(len(late), self.rng.randint(2, 4))))

    def probe(self):
        """Events that nobody sent, judged against states that never were."""
        self.probes = []
        for _ in range(PROBES):
            places = self.rng.sample(list(self.after), min(2, len(self.after)))
            one, other = (self.after[i] for i in places)
            # Sorted, because the order of a resolved state's keys is not the same in every run.
            keys = sorted({**one, **other})
            mixed = {k: (other if k in other and self.rng.random() < 0.4 else one).get(k) for k in keys}
            mixed = {k: i for k, i in mixed.items() if i}
            event, picked = self.finish(self.draft(mixed), places[:1], mixed, self.lie)
            self.probes.append(event)
            self.remember(event, independent(event, self.events), dependent(event, picked), picked)
        self.probe_creation()

    def probe_creation(self):
        """Another creation of the room, mostly faulty; it passes or fails by itself."""
        rng, sender = self.rng, self.creator
        content = {"room_version": self.name, "creator": sender}
        fault = rng.randrange(6)
        if fault == 0:
            del content["creator"]
        elif fault == 1:
            sender = rng.choice(self.users)
        elif fault == 2:
            content["room_version"] = rng.choice(["0", "nonsense"])
        elif fault == 3:
            content["additional_creators"] = rng.choice([self.users[1:2], "x", ["nobody"], [7], {}])
        prevs = list(self.events)[:1] if fault == 4 else []
        wire = {"event_id": self.new_id(sender), **self.state(sender, CREATE, "", content)}
        wire |= {"auth_events": [], "prev_events": prevs, "origin_server_ts": self.tick(), "depth": 1}
        hashed = self.version.msc4291_room_ids_as_hashes
        event = Stand(wire, "!" + wire["event_id"][1:] if hashed else self.room_id, self.version)
        self.probes.append(event)
        self.remember(event, independent(event, self.events), None)

    # What somebody might do

    def content_of(self, state, kind, key=""):
        event = self.events.get(state.get((kind, key)))
        return event.content if event else {}

    def membership(self, state, user):
        return self.content_of(state, MEMBER, user).get("membership", "leave")

    def joined(self, state):
        return [user for user in self.users if self.membership(state, user) == "join"]

    def somebody(self, state):
        """Mostly a member, and of those mostly one with power."""
        joined, rng = self.joined(state), self.rng
        if not joined or rng.random() < 0.12:
            return rng.choice(self.users)
        levels = self.content_of(state, POWER).get("users", {})
        strong = [u for u in joined if u in self.creators or u == self.creator or int(levels.get(u, 0)) >= 50]
        return rng.choice(strong if strong and rng.random() < 0.7 else joined)

    def target(self, state, sender, *memberships):
        others = [user for user in self.users if user != sender]
        if not self.federates:
            # Synapse minds a foreign target here, the specification only a foreign sender.
            others = [u for u in others if u.split(":")[1] == sender.split(":")[1]] or [sender]
        fitting = [user for user in others if self.membership(state, user) in memberships]
        return self.rng.choice(fitting if fitting and self.rng.random() < 0.85 else others)

    def draft(self, state):
        knocking = "knock" in self.content_of(state, RULES).get("join_rule", "")
        actions = {
            self.change_levels: 17, self.change_rules: 9, self.ban: 9, self.kick: 9, self.unban: 5, self.leave: 7,
            self.join: 15, self.invite: 9, self.knock: 16 if knocking else 3, self.describe: 13, self.own_key: 4, self.write: 3,
            self.third_party: 3, self.aliases: 2, self.create_again: 1,
        }  # fmt: skip
        action = self.rng.choices(list(actions), list(actions.values()))[0]
        return action(state)

    def member(self, sender, target, membership, **more):
        return self.state(sender, MEMBER, target, {"membership": membership, **more})

    def ban(self, state):
        sender = self.somebody(state)
        return self.member(sender, self.target(state, sender, "join", "invite", "knock", "leave"), "ban")

    def kick(self, state):
        sender = self.somebody(state)
        return self.member(sender, self.target(state, sender, "join", "invite", "knock"), "leave")

    def unban(self, state):
        sender = self.somebody(state)
        return self.member(sender, self.target(state, sender, "ban"), "leave")

    def invite(self, state):
        sender = self.somebody(state)
        return self.member(sender, self.target(state, sender, "leave", "knock"), "invite")

    def leave(self, state):
        sender = self.rng.choice(self.users if self.rng.random() < 0.2 else self.joined(state) or self.users)
        return self.member(sender, sender, "leave")

    def knock(self, state):
        out = [user for user in self.users if self.membership(state, user) in ("leave", "knock")]
        sender = self.rng.choice(out if out and self.rng.random() < 0.7 else self.users)
        target = sender if self.rng.random() < 0.95 else self.rng.choice(self.users)
        return self.member(sender, target if self.federates else sender, "knock")

    def join(self, state):
        rng, out = self.rng, [user for user in self.users if self.membership(state, user) != "join"]
        sender = rng.choice(out if out and rng.random() < 0.75 else self.users)
        target = sender if rng.random() < 0.97 or not self.federates else rng.choice(self.users)
        more = {"displayname": rng.choice("xyz")} if rng.random() < 0.3 else {}
        rule = self.content_of(state, RULES).get("join_rule", "")
        if "restricted" in rule and rng.random() < 0.8 or rng.random() < 0.03:
            more[AUTHORISER] = rng.choice(self.users if rng.random() < 0.3 else self.joined(state) or self.users)
        return self.member(sender, target, "join", **more)

    def describe(self, state):
        kind, field_name = self.rng.choice([(TOPIC, "topic"), (NAME, "name"), ("m.room.history_visibility", "history_visibility")])
        return self.state(self.somebody(state), kind, "", {field_name: self.rng.choice("pqrs")})

    def own_key(self, state):
        sender = self.somebody(state)
        return self.state(sender, "test.own", self.rng.choice([sender, sender, *self.users]), {"n": self.rng.randrange(9)})

    def write(self, state):
        sender = self.somebody(state)
        if self.rng.random() < 0.5:
            return {"type": "m.room.message", "sender": sender, "content": {"body": "hi"}}
        target = self.rng.choice(list(self.events))
        content = {"redacts": target} if self.version.updated_redaction_rules else {}
        draft = {"type": REDACTION, "sender": sender, "content": content}
        return draft if self.version.updated_redaction_rules else {**draft, "redacts": target}

    def aliases(self, state):
        sender = self.rng.choice(self.users)
        return self.state(sender, ALIASES, self.rng.choice(SERVERS), {"aliases": []})

    def create_again(self, state):
        return self.state(self.creator, CREATE, "", {"creator": self.creator, "room_version": self.name})

    def change_rules(self, state):
        rules = ["public", "invite", "invite", "private", "knock", "restricted", "knock_restricted"]
        rule = self.rng.choice([*rules, *self.possible_rules()])
        return self.state(self.somebody(state), RULES, "", self.rule(rule))

    def third_party(self, state):
        known = [e for e in self.events.values() if e.type == THIRD_PARTY]
        sender = self.somebody(state)
        if not known or self.rng.random() < 0.4:
            public = unpaddedbase64.encode_base64(self.key.verify_key.encode())
            content = {"display_name": "x", "key_validity_url": "https://id.test/valid", "public_key": public}
            content["public_keys"] = [{"public_key": public}]
            return self.state(sender, THIRD_PARTY, self.rng.choice(["t1", "t2"]), content)
        offer = self.rng.choice(known)
        sender = offer.sender if self.rng.random() < 0.8 else sender
        target = self.target(state, sender, "leave")
        signed = {"mxid": target if self.rng.random() < 0.9 else sender, "token": offer.state_key}
        signedjson.sign.sign_json(signed, "id.test", self.key)
        if self.rng.random() < 0.15:
            # Signed for another token than the one it now names.
            signed["token"] = "t1" if signed["token"] == "t2" else "t2"
        return self.member(sender, target, "invite", third_party_invite={"display_name": "x", "signed": signed})

    def change_levels(self, state):
        sender, rng = self.somebody(state), self.rng
        levels = json.loads(json.dumps(self.content_of(state, POWER) or self.first_levels(self.creator)))
        for _ in range(rng.choice([1, 1, 2])):
            self.turn_a_knob(levels)
        if rng.random() < 0.05:
            self.spoil(levels)
        return self.state(sender, POWER, "", levels)

    def turn_a_knob(self, levels):
        rng, level = self.rng, self.rng.choice([0, 1, 24, 25, 49, 50, 50, 51, 75, 99, 100, 101])
        knob = rng.random()
        if knob < 0.6:
            users = levels.setdefault("users", {})
            user = rng.choice([u for u in self.users if u not in self.creators] or self.users)
            if user in users and rng.random() < 0.25:
                del users[user]
            else:
                users[user] = level
        elif knob < 0.8:
            levels[rng.choice(["ban", "kick", "invite", "redact", "state_default", "events_default", "users_default"])] = level
        elif knob < 0.95:
            kinds = [TOPIC, NAME, POWER, RULES, MEMBER, "test.own", THIRD_PARTY, "m.room.message"]
            levels.setdefault("events", {})[rng.choice(kinds)] = level
        else:
            levels.setdefault("notifications", {})["room"] = level

    def spoil(self, levels):
        """Values that one room version takes and another does not."""
        kind, users = self.rng.randrange(4), levels.setdefault("users", {})
        if kind == 0:
            levels["kick"] = "50"
        elif kind == 1:
            users[self.rng.choice(self.users)] = "50"
        elif kind == 2:
            users["nobody"] = 50
        else:
            users[self.creator] = 100


# An independent reading of the specification's sets, to catch a misuse of Synapse's resolver.


def auth_chain(events, ids):
    chain, queue = set(), list(ids)
    while queue:
        event_id = queue.pop()
        if event_id not in chain:
            chain.add(event_id)
            queue += events[event_id].auth_event_ids()
    return chain


def differing_keys(states):
    return [key for key in sorted({k for s in states for k in s}) if len({s.get(key) for s in states}) > 1]


def full_conflicted_set(room, states):
    keys = differing_keys(states)
    conflicted = {s[key] for key in keys for s in states if key in s}
    chains = [auth_chain(room.events, s.values()) for s in states]
    difference = set.union(*chains) - set.intersection(*chains)
    if room.version.state_res != StateResolutionVersions.V2_1:
        return conflicted | difference
    above = auth_chain(room.events, conflicted)
    below = {i for i in room.events if auth_chain(room.events, [i]) & conflicted}
    return conflicted | difference | (above & below)


def check_full_conflicted_set(room, states):
    if room.version.state_res == StateResolutionVersions.V1:
        return
    conflicted = None
    if room.version.state_res == StateResolutionVersions.V2_1:
        conflicted = {s[key] for key in differing_keys(states) for s in states if key in s}
    difference = run(v2._get_auth_chain_difference(room.room_id, states, dict(room.events), Store(room.events), conflicted))
    keys = differing_keys(states)
    theirs = difference | {s[key] for key in keys for s in states if key in s}
    assert theirs == full_conflicted_set(room, states), "the conflicted sets differ"
    # Synapse departs from the specification for rejected events here; none may depend on that.
    assert not any(room.events[i].rejected_reason for i in theirs), "a rejected event is in conflict"


# Writing


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
        special["with a conflict of values"] += any(len({s[k] for s in states if k in s}) > 1 for k in differing_keys(states))
        special["unlike newest-wins"] += resolved != newest_wins(room, states)
        special["bringing back an event of none of the states"] += not set(resolved.values()) <= held
        special["dropping a key that some state has"] += any(k not in resolved for s in states for k in s)
        special["unlike every one of the states"] += all(resolved != s for s in states)
        special["where another algorithm differs"] += resolved != other_algorithm(room, states)
    for what, number in special.items():
        count[f"resolutions {what}"] += number
        count[f"cases {what}"] += number > 0


def other_algorithm(room, states):
    """v2 for what v1 or v2.1 is made for, and v2.1 for the rest."""
    old = room.version.state_res
    other = StateResolutionVersions.V2_1 if old == StateResolutionVersions.V2 else StateResolutionVersions.V2
    return resolve(WithResolution(room.version, other), room.room_id, room.events, states)


def wire_form(event):
    wire = {name: event.wire[name] for name in WIRE_FIELDS if name in event.wire}
    return {**wire, "rejected": True} if event.rejected_reason else wire


WIRE_FIELDS = (
    "event_id", "type", "state_key", "sender", "content", "redacts", "auth_events", "prev_events",
    "origin_server_ts", "depth",
)  # fmt: skip


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
        room = Room(name, rng)
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
