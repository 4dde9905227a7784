"""Reads the heads and bodies of enproxy and CONNECT: section 6 of proto/README.md, "Heads and bodies", from its text alone."""
import re
from urllib.parse import unquote_to_bytes

TOKEN = rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+)"
REQUEST_LINE = re.compile(TOKEN + rb" ([!-~]+) HTTP/1\.([01])")
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([0-9]{3})(?: [\t -~]*)?")
FIELD = re.compile(TOKEN + rb":[\t ]*((?:[!-~](?:[\t -~]*[!-~])?)?)[\t ]*")
MAX_HEAD, MAX_FIELDS, MAX_ID, MAX_DESTINATION, MAX_VALUE, MAX_TOKENS = 16384, 64, 256, 262, 512, 16
MAX_CHUNK_LINE, MAX_TRAILERS, MAX_TEXT, MAX_ECHO = 256, 4096, 1024, 128


class Unusable(Exception):
    """A head or body that makes its connection useless, and why."""


class Incomplete(Exception):
    """A head that is not all there yet."""


def demand(holds, why):
    if not holds:
        raise Unusable(why)


class Head:
    """A first line, matched with `pattern`, with the fields below it; `end` is where the body begins."""

    def __init__(self, data, pattern, start=0):
        self.window, self.end, self.fields = data[:MAX_HEAD], start, []
        self.line = self.matched(self.next_line(), pattern)
        while line := self.next_line():
            demand(len(self.fields) < MAX_FIELDS, "too-many-headers")
            name, value = self.matched(line, FIELD).groups()
            self.fields.append((name.lower(), value))

    def next_line(self):
        """The next line, without its CR LF. Where these are missing, what is there may still be wrong already."""
        line, ending, _ = self.window[self.end:].partition(b"\r\n")
        demand(re.fullmatch(rb"[\t -~]*\r?", line), "syntax")
        if not ending:
            demand(len(self.window) < MAX_HEAD, "too-long")
            raise Incomplete
        self.end += len(line) + 2
        return line

    @staticmethod
    def matched(line, pattern):
        found = pattern.fullmatch(line)
        demand(found, "syntax")
        return found

    def all(self, name):
        return [value for key, value in self.fields if key == name.lower().encode()]

    def first(self, name):
        return (self.all(name) or [b""])[0].decode()

    def text(self, name, most):
        """A field that must be readable; None when it is absent or empty."""
        demand(re.fullmatch("[ -~]{0,%d}" % most, self.first(name)), "unreadable")
        return self.first(name) or None

    def lists(self, name, token):
        return any(item.strip().lower() == token for value in self.all(name) for item in value.split(b","))

    def length(self):
        lengths = self.all("Content-Length")
        demand(all(re.fullmatch(b"[0-9]+", value) and int(value) < 2**64 for value in lengths), "content-length")
        demand(len(set(map(int, lengths))) <= 1, "conflicting-lengths")
        return int(lengths[0]) if lengths else None

    def is_chunked(self, minor):
        codings = self.all("Transfer-Encoding")
        demand(not codings or minor == 1, "chunked-in-http10")
        demand([coding.lower() for coding in codings] in ([], [b"chunked"]), "transfer-encoding")
        return bool(codings)


def read_request(data):
    """What a request means, and the length of its head."""
    head = Head(data, REQUEST_LINE)
    method, target, minor = head.line[1], head.line[2].decode(), int(head.line[3])
    if method == b"CONNECT":
        return read_connect(target, head), head.end
    chunked, length = head.is_chunked(minor), head.length()
    demand(not chunked or length is None, "length-and-chunked")
    body = "chunked" if chunked else {"length": length or 0}
    keep_alive = minor == 1 and not head.lists("Connection", b"close")
    if method == b"HEAD":
        return {"kind": "health", "keep_alive": keep_alive}, head.end
    call, refusal = read_call(target, head)
    if refusal:
        return {"kind": "unserved", "status": refusal[0], "text": refusal[1], "body": body}, head.end
    expects = minor == 1 and head.lists("Expect", b"100-continue")
    return {"kind": "call", **call, "body": body, "keep_alive": keep_alive, "expect_continue": expects}, head.end


def read_connect(target, head):
    host, _, port = target.rpartition(":")
    demand(re.fullmatch(r"\[.+\]|[^:/\[\]]+", host) and len(target) <= MAX_DESTINATION, "target")
    demand(re.fullmatch("[0-9]+", port) and 0 < int(port) < 65536, "target")
    tokens = [value.decode() for value in head.all("X-Lantern-Auth-Token")[:MAX_TOKENS]]
    demand(all(0 < len(token) <= MAX_VALUE for token in tokens), "unreadable")
    return {"kind": "connect", "destination": target, "tokens": tokens, "device_id": head.text("X-Lantern-Device-Id", MAX_VALUE)}


def read_call(target, head):
    """The three values of an enproxy request, or the status and the text that refuse it."""
    raw = re.sub("^[^/]*://[^/]*", "", target).partition("?")[0]
    path = unquote_to_bytes(raw).decode("utf-8", "replace")
    unexpected = None, (400, f"Unexpected request path: {raw[:MAX_ECHO]}")
    if re.search("%(?![0-9A-Fa-f]{2})", raw) or re.search("[\0-\x1f\x7f-\x9f\ufffd]", path):
        return unexpected
    if len(path) > 5:
        found = re.search("/(.*)/(.*)/(.*)/", path)
        if not found:
            return unexpected
        tunnel, destination, op = found.groups()
    else:
        tunnel, destination, op = (head.first(f"X-Enproxy-{name}") for name in ("Id", "Dest-Addr", "Op"))
    if not tunnel:
        return None, (400, "No id found in header X-Enproxy-Id")
    if not re.fullmatch("[!-~]{1,%d}" % MAX_ID, tunnel):
        return None, (400, "Unreadable the tunnel id")
    if not destination:
        return None, (400, "No address found in header X-Enproxy-Dest-Addr")
    if not re.fullmatch("[!-~]{1,%d}" % MAX_DESTINATION, destination):
        return None, (400, "Unreadable the destination")
    if op not in ("write", "read"):
        return None, (500, f"Operation not supported: {op}")
    return {"id": tunnel, "destination": destination, "op": op}, None


def final_head(data):
    """The head of the response behind the interim ones, its status, its minor version and where its body ends."""
    head = Head(data, STATUS_LINE)
    while head.line[2][:1] == b"1":
        demand(head.line[2] != b"101", "switching-protocols")
        head = Head(data, STATUS_LINE, head.end)
    minor, status = int(head.line[1]), int(head.line[2])
    if status in (204, 304):
        return head, status, minor, {"length": 0}
    if head.is_chunked(minor):
        return head, status, minor, "chunked"
    length = head.length()
    return head, status, minor, "until-close" if length is None else {"length": length}


def read_response(data):
    """What a response of enproxy means, and the length of its head with the interim ones before it."""
    head, status, minor, body = final_head(data)
    keep_alive = minor == 1 and not head.lists("Connection", b"close") and body != "until-close"
    tunnel, proxy_host = head.text("X-Enproxy-Id", MAX_ID), head.text("X-Enproxy-Proxy-Host", MAX_DESTINATION)
    eof = head.first("X-Enproxy-Eof") == "true"
    return {"status": status, "eof": eof, "id": tunnel, "proxy_host": proxy_host, "body": body, "keep_alive": keep_alive}, head.end


def read_reply(data):
    """An answer to CONNECT: the status that refuses it, or 0; why, or what has come through; and the head's length."""
    head, status, _, ends = final_head(data)
    rest = data[head.end:]
    if 200 <= status < 300:
        return 0, (rest.removeprefix(b"a\r\nCONNECT OK\r\n") if ends == "chunked" else rest).decode(), head.end
    text = read_body(ends, rest)[0][:MAX_TEXT].decode("utf-8", "replace")
    return status, re.sub("[\0-\x1f\x7f-\x9f]", " ", text).strip(), head.end


def read_body(ends, stream):
    """A body, and what follows it, in a stream that is over."""
    if ends == "until-close":
        return stream, b""
    if ends != "chunked":
        demand(len(stream) >= ends["length"], "truncated")
        return stream[:ends["length"]], stream[ends["length"]:]
    body = b""
    while True:
        line, stream = next_line(stream, MAX_CHUNK_LINE, "chunk-line-too-long")
        found = re.fullmatch(rb"([0-9A-Fa-f]+)[\t ]*(;.*)?", line)
        demand(found, "chunk-size")
        size = int(found[1], 16)
        demand(size < 2**64, "chunk-too-large")
        if size == 0:
            break
        demand(len(stream) >= size, "truncated")
        body, ending, stream = body + stream[:size], stream[size:size + 2], stream[size + 2:]
        demand(b"\r\n".startswith(ending), "chunk-end")
        demand(len(ending) == 2, "truncated")
    left = len(stream)
    while line:
        line, stream = next_line(stream, MAX_TRAILERS - (left - len(stream)), "trailers-too-long")
    return body, stream


def next_line(stream, most, too_long):
    """A line without its CR LF, and what follows it."""
    line, ending, rest = stream.partition(b"\n")
    demand(len(line) <= most, too_long)
    demand(ending, "truncated")
    demand(line.endswith(b"\r"), "chunk-end")
    return line[:-1], rest
