"""What the people of a room might do next: mostly sensible, often forbidden."""

import json

import signedjson.sign
import unpaddedbase64
from oracle.room import NAME, SERVERS, TOPIC, Room
from oracle.synapse_says import CREATE, MEMBER

POWER, RULES, ALIASES = "m.room.power_levels", "m.room.join_rules", "m.room.aliases"
THIRD_PARTY, REDACTION = "m.room.third_party_invite", "m.room.redaction"
AUTHORISER = "join_authorised_via_users_server"


class People(Room):
    """Drafts of events by the room's users, in a given state."""

    def state(self, sender, kind, key, content):
        return {"type": kind, "state_key": key, "sender": sender, "content": content}

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
        kind, field_name = self.rng.choice(
            [(TOPIC, "topic"), (NAME, "name"), ("m.room.history_visibility", "history_visibility")]
        )
        return self.state(self.somebody(state), kind, "", {field_name: self.rng.choice("pqrs")})

    def own_key(self, state):
        sender = self.somebody(state)
        return self.state(
            sender, "test.own", self.rng.choice([sender, sender, *self.users]), {"n": self.rng.randrange(9)}
        )

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
            levels[
                rng.choice(["ban", "kick", "invite", "redact", "state_default", "events_default", "users_default"])
            ] = level
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
