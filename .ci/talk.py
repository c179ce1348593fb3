"""Talks to a server as a client does: registers (with a token) or logs in, sends, and syncs.

talk.py BASE register TOKEN | login NAME PASSWORD
"""

import json
import sys
import urllib.error
import urllib.request

base = sys.argv[1] + "/_matrix/client/v3"


def call(method, path, body=None, token=None):
    """The status and the body of a reply."""
    request = urllib.request.Request(base + path, method=method)
    request.add_header("content-type", "application/json")
    if token:
        request.add_header("authorization", "Bearer " + token)
    data = None if body is None else json.dumps(body).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, data, timeout=60) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def ok(reply):
    """The body of a reply that must be good."""
    status, body = reply
    assert status == 200, (status, body)
    return body


def register(registration_token):
    """A new account, by the token that the server printed."""
    body = {"username": "bob", "password": "bob's password"}
    status, challenge = call("POST", "/register", body)
    assert status == 401, (status, challenge)
    auth = {"type": "m.login.registration_token", "token": registration_token, "session": challenge["session"]}
    status, challenge = call("POST", "/register", {**body, "auth": auth})
    assert challenge["completed"] == [auth["type"]], (status, challenge)
    auth = {"type": "m.login.dummy", "session": challenge["session"]}
    return ok(call("POST", "/register", {**body, "auth": auth}))["access_token"]


def login(name, password):
    """A login of an account that is there."""
    identifier = {"type": "m.id.user", "user": name}
    body = {"type": "m.login.password", "identifier": identifier, "password": password}
    return ok(call("POST", "/login", body))["access_token"]


token = {"register": register, "login": login}[sys.argv[2]](*sys.argv[3:])
since = ok(call("GET", "/sync", token=token))["next_batch"]
room = ok(call("POST", "/createRoom", {}, token))["room_id"]
message = {"msgtype": "m.text", "body": "hello"}
sent = ok(call("PUT", f"/rooms/{room}/send/m.room.message/1", message, token))["event_id"]
synced = ok(call("GET", f"/sync?since={since}&timeout=10000", token=token))
events = synced["rooms"]["join"][room]["timeline"]["events"]
assert events[-1]["event_id"] == sent and events[-1]["content"] == message, events
print("registered or logged in, sent and synced")
