"""How a room's history goes: founded by the book, then forked, merged and fought over."""

from oracle.people import POWER, RULES, People
from oracle.synapse_says import CREATE, MEMBER, Stand, dependent, independent

PROBES = 8


class Story(People):
    """A room that tells its own history."""

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
