"""Synapse's resolvers and auth rules, made to run on events that exist only here."""

from types import SimpleNamespace

from synapse import event_auth
from synapse.api.errors import SynapseError
from synapse.api.room_versions import KNOWN_ROOM_VERSIONS, EventFormatVersions, StateResolutionVersions
from synapse.events import make_event_from_dict
from synapse.state import v1, v2
from synapse.storage.databases.main.event_federation import StateDifference

VERSIONS = [str(number) for number in range(1, 13)]
CREATE, MEMBER = "m.room.create", "m.room.member"


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
        for kind, content in ((CREATE, {"creator": "@anna:a.test"}), (MEMBER, {"membership": "join"})):
            wire = {
                "type": kind, "state_key": "", "sender": "@anna:a.test", "content": content, "depth": 4,
                "auth_events": ["$auth:a.test"] if kind == MEMBER else [],
                "prev_events": ["$prev:a.test"] if kind == MEMBER else [],
                "origin_server_ts": 1_700_000_000_000, "hashes": {"sha256": ""}, "signatures": {},
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
            for what in (
                "type",
                "state_key",
                "sender",
                "depth",
                "origin_server_ts",
                "redacts",
                "rejected_reason",
                "format_version",
            ):
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


def other_algorithm(room, states):
    """v2 for what v1 or v2.1 is made for, and v2.1 for the rest."""
    old = room.version.state_res
    other = StateResolutionVersions.V2_1 if old == StateResolutionVersions.V2 else StateResolutionVersions.V2
    return resolve(WithResolution(room.version, other), room.room_id, room.events, states)


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
    difference = run(
        v2._get_auth_chain_difference(room.room_id, states, dict(room.events), Store(room.events), conflicted)
    )
    keys = differing_keys(states)
    theirs = difference | {s[key] for key in keys for s in states if key in s}
    assert theirs == full_conflicted_set(room, states), "the conflicted sets differ"
    # Synapse departs from the specification for rejected events here; none may depend on that.
    assert not any(room.events[i].rejected_reason for i in theirs), "a rejected event is in conflict"
