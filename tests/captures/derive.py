#!/usr/bin/env python3
"""What is in the captures beside this file, as JSON on standard output: expected.json is its output.

Written from the RFCs and the observed behaviour of the Go programs alone, with Python's standard library; it shares nothing with the
codecs that are tested against it. It refuses to guess: every byte of every capture belongs to a head, a body, a tunnel or a TLS
record, or the script fails.
"""

import ast
import hashlib
import json
import pathlib
import re
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
# A Go enproxy server takes the path form from here on; see its regular expression, greedy and not anchored.
SHORTEST_PATH_FORM = 6
PATH_FORM = re.compile(r"/(.*)/(.*)/(.*)/")
# What chained.Server of 2014 writes into an open tunnel, as one chunk that nothing ends.
PREAMBLE = b"a\r\nCONNECT OK\r\n"
LONGEST_LINE = 600


class Head:
    """A request's or response's first line and header fields."""

    def __init__(self, data, start):
        end = data.index(b"\r\n\r\n", start) + 4
        lines = data[start : end - 4].decode("ascii").split("\r\n")
        self.first, self.length = lines[0].split(" ", 2), end - start
        self.fields = [(name.lower(), value.strip()) for name, value in (line.split(":", 1) for line in lines[1:])]

    def all(self, name):
        return [value for field, value in self.fields if field == name.lower()]

    def get(self, name):
        return (self.all(name) or [None])[0]

    def framing(self):
        if self.get("Transfer-Encoding"):
            return "chunked"
        return None if self.get("Content-Length") is None else "length"


def digest(data):
    return {"length": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def chunked(data, start):
    """The decoded body at `start`, where its framing ends, and where each size line begins."""
    body, at, lines = b"", start, []
    while True:
        lines.append(at)
        line = data.index(b"\r\n", at)
        size, at = int(data[at:line], 16), line + 2
        body, at = body + data[at : at + size], at + size
        assert data[at : at + 2] == b"\r\n", "a chunk, or the empty trailers, end in CR LF"
        at += 2
        if size == 0:
            return body, at, lines


def body_of(head, data, start):
    """The decoded body that follows a head with a length of its own, where it ends, and where each chunk of it begins."""
    if head.framing() == "chunked":
        return chunked(data, start)
    end = start + int(head.get("Content-Length") or 0)
    assert end <= len(data), "a whole body"
    return data[start:end], end, []


def wire(start, head, end, lines):
    """Lengths of a message and of its head (interim ones included), and where in the message each chunk's size line begins."""
    return {"head": head, "wire": end - start, "chunks": [line - start for line in lines]}


class Clock:
    """When each byte of one direction passed the relay, in microseconds, from events.txt."""

    def __init__(self, events, side, length):
        self.times, total = [], 0
        for event in events:
            found = re.fullmatch(rf" *([0-9.]+)ms {side} ([0-9]+) bytes", event)
            if found:
                total += int(found[2])
                self.times.append((total, round(float(found[1]) * 1000)))
        assert total == length, "events.txt accounts for every byte"

    def of(self, offset):
        return next(time for end, time in self.times if offset < end)

    def span(self, start, end):
        return [self.of(start), self.of(end - 1)]


def form_of(head):
    """How a request names its tunnel: the form, and the id, destination and op that it names."""
    method, target, _ = head.first
    if method == "CONNECT":
        return {"form": "connect", "destination": target}
    path = urllib.parse.unquote(urllib.parse.urlsplit(target).path)
    found = PATH_FORM.search(path)
    if method == "HEAD" or (len(path) >= SHORTEST_PATH_FORM and not found):
        return {"form": "other"}
    if len(path) >= SHORTEST_PATH_FORM:
        return {"form": "path", "id": found[1], "destination": found[2], "op": found[3]}
    named = [head.get("X-Enproxy-" + name) for name in ("Id", "Dest-Addr", "Op")]
    if None in named:
        return {"form": "other"}
    return {"form": "header", "id": named[0], "destination": named[1], "op": named[2]}


def requests_of(data, clock):
    """Every request of a connection with its decoded body; and what follows a CONNECT."""
    requests, at = [], 0
    while at < len(data):
        start, head = at, Head(data, at)
        connect = head.first[0] == "CONNECT"
        body, at, lines = (b"", at + head.length, []) if connect else body_of(head, data, at + head.length)
        request = {"at": clock.span(start, at), "method": head.first[0], "version": head.first[2]} | form_of(head)
        request |= {"host": head.get("Host"), "tokens": head.all("X-Lantern-Auth-Token")}
        request |= {"expect_continue": head.get("Expect") == "100-continue", "framing": head.framing() or "length"}
        request |= wire(start, head.length, at, lines) | {"body": digest(body)}
        requests.append((request, body))
        if connect:
            return requests, data[at:]
    return requests, None


def response_of(request, data, start, clock):
    """The response at `start`, its decoded body and where it ends."""
    interim, head = [], Head(data, start)
    at = start + head.length
    while head.first[1].startswith("1"):
        interim.append(int(head.first[1]))
        head = Head(data, at)
        at += head.length
    status, opened = int(head.first[1]), request["form"] == "connect" and head.first[1].startswith("2")
    bodiless = request["method"] == "HEAD" or opened
    heads = at - start
    body, at, lines = (b"", at, []) if bodiless else body_of(head, data, at)
    assert bodiless or head.framing(), "none of these servers ends a body by closing"
    response = {"at": clock.span(start, at), "status": status, "version": head.first[0], "interim": interim}
    response |= {"eof": head.get("X-Enproxy-Eof") == "true", "id": head.get("X-Enproxy-Id")}
    response |= {"proxy_host": head.get("X-Enproxy-Proxy-Host"), "keep_alive": head.get("Connection") != "close"}
    response |= {"framing": head.framing()} | wire(start, heads, at, lines) | {"body": digest(body)}
    return response, body, at


def tls_record(data):
    """A connection that begins with a TLS ClientHello: what matters of it to a server."""
    assert data[0] == 22 and data[5] == 1 and int.from_bytes(data[3:5], "big") == len(data) - 5, "one ClientHello record"
    at = 5 + 4 + 2 + 32
    at += 1 + data[at]
    at += 2 + int.from_bytes(data[at : at + 2], "big")
    at += 1 + data[at]
    end, at, extensions = at + 2 + int.from_bytes(data[at : at + 2], "big"), at + 2, []
    while at < end:
        extensions.append(int.from_bytes(data[at : at + 2], "big"))
        at += 4 + int.from_bytes(data[at + 2 : at + 4], "big")
    assert at == len(data)
    return {"server_name": 0 in extensions, "alpn": 16 in extensions, "tls13": 43 in extensions}


def tunnel(name, destination):
    """A tunnel before anything went through it. The name of one by CONNECT, which has no id, is its connection's."""
    return {"id": name, "destination": destination, "eof": False, "flows": []}


def connection(folder, tunnels):
    """One TCP connection; adds what went through tunnels to `tunnels`, as (time, direction, bytes) for each of them."""
    client = (folder / "client.bin").read_bytes()
    told = {"client": digest(client)}
    if client[:1] == b"\x16":
        return told | {"server": None, "client_hello": tls_record(client), "exchanges": [], "closed_first": None}
    server, events = (folder / "server.bin").read_bytes(), (folder / "events.txt").read_text().splitlines()
    ends = [event.split()[1] for event in events if event.endswith(" FIN")]
    told |= {"server": digest(server), "exchanges": [], "closed_first": ends[0]}
    clocks = Clock(events, "client", len(client)), Clock(events, "server", len(server))
    requests, after = requests_of(client, clocks[0])
    at = 0
    for request, sent in requests:
        response, received = None, b""
        if at < len(server):
            response, received, at = response_of(request, server, at, clocks[1])
        told["exchanges"].append({"request": request, "response": response})
        if request["form"] in ("path", "header") and request["op"] in ("write", "read"):
            flow = tunnels.setdefault(request["id"], tunnel(request["id"], request["destination"]))
            if response and response["status"] == 200:
                flow["flows"] += [(request["at"][0], "up", sent), (response["at"][0], "down", received)]
                flow["eof"] |= response["eof"]
    if after is not None:
        at = opened(told, after, server, at, tunnels, folder.name)
    assert at == len(server), "nothing comes unasked"
    return told


def opened(told, up, server, at, tunnels, name):
    """What follows a CONNECT's reply: the tunnel, where the reply opens one. Returns where the server's bytes end."""
    exchange = told["exchanges"][-1]
    if exchange["response"]["status"] != 200:
        assert up == b"", "nothing is sent into a tunnel that is not open"
        return at
    down = server[at:]
    exchange["preamble"] = exchange["response"]["framing"] == "chunked" and down.startswith(PREAMBLE)
    down = down[len(PREAMBLE) :] if exchange["preamble"] else down
    tunnels[name] = tunnel(name, exchange["request"]["destination"])
    tunnels[name]["flows"] = [(0, "up", up), (1, "down", down)]
    return len(server)


def case(folder):
    tunnels = {}
    connections = {conn.name: connection(conn, tunnels) for conn in sorted(folder.iterdir())}
    for flow in tunnels.values():
        # Stable: of one request the bytes up come before those down, and two connections are in the order of the relay's clock.
        flows = sorted(flow.pop("flows"), key=lambda part: part[0])
        for way in ("up", "down"):
            flow[way] = digest(b"".join(data for _, direction, data in flows if direction == way))
    return {"connections": connections, "tunnels": list(tunnels.values())}


def statuses(text):
    """The heads of 2014 servers' answers, of which only the printed form was kept. None: the connection closed without one."""
    told, server = [], ""
    for line in filter(None, text.splitlines()):
        if line.startswith("====="):
            server = line.strip("= ")
            continue
        what, answer = (part.strip() for part in line.split(":", 1))
        found = re.search(r"\] ('HTTP.*') body\[([0-9]+)\]", answer)
        assert found or "CONNECTION CLOSED after b''" in answer
        entry = {"server": server, "request": what, "head": None}
        if found:
            text_head = ast.literal_eval(found[1]) + "\r\n\r\n"
            head = Head(text_head.encode(), 0)
            length = head.get("Content-Length")
            assert int(length or 0) == int(found[2])
            entry |= {"head": text_head, "status": int(head.first[1]), "length": length and int(length)}
            entry |= {"id": head.get("X-Enproxy-Id"), "proxy_host": head.get("X-Enproxy-Proxy-Host")}
        told.append(entry)
    return told


def layout(value, depth=0):
    """JSON with a line for whatever fits into one, so that two versions can be compared."""
    text, pad = json.dumps(value), "\n" + " " * depth
    if len(text) <= LONGEST_LINE or not isinstance(value, (dict, list)):
        return text
    if isinstance(value, list):
        return "[" + ",".join(pad + " " + layout(item, depth + 1) for item in value) + pad + "]"
    return "{" + ",".join(f"{pad} {json.dumps(key)}: {layout(item, depth + 1)}" for key, item in value.items()) + pad + "}"


def main():
    cases = {folder.name: case(folder) for folder in sorted(HERE.iterdir()) if folder.is_dir()}
    told = {"cases": cases, "statuses": statuses((HERE / "tls-2014-server-statuses.txt").read_text())}
    print(layout(told))


main()
