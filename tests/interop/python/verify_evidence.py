"""Checks an exported evidence file with nothing but the root's public key: section 7 of proto/README.md, from its text alone.

Explains each check, in order, up to the first that fails. Its last line sums up, as JSON: the verdict's outcome and reason (empty when
no verdict holds), the first check that fails with its reason, and whether the file holds; so does the exit status, 0 or 1.
"""
import argparse, base64, ipaddress, json, sys
from pathlib import Path

from claims import SECOND, Refused, Revoked, holds_at, ip_of, listed, opened, sha256, strict

NAMES = ["", "keyset", "registration", "announcement", "challenge", "statement", "observation", "receipt", "verdict"]
LEEWAY, GOODPUT = 10 * SECOND, [256 << 10, 32 << 10]
base64url = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")
from_base32 = lambda text: base64.b32decode(text.upper() + "====")


class Fails(Exception):
    """A check that does not hold: its name, its reason, and the verdict if one was read."""


def examine(data, root, goodput=GOODPUT, newer=None, say=print):
    """The verdict in a file; raises Fails for the first check that does not hold. `newer`: a keyset that may revoke keys."""
    verdict = None
    def check(name, reason, holds, what):
        say(f"{name:8}{'holds' if holds else reason}: {what}")
        if not holds: raise Fails(name, reason, verdict)
    def claim(name, reason, kind, find_key):
        try: return opened(kind, files.get(NAMES.index(kind), b""), find_key)
        except Refused as why: check(name, "key-revoked" if isinstance(why, Revoked) else reason, False, f"{kind}: {why}")
    def key_of(role, time=None):
        return lambda key_id, c: listed(keyset, role, key_id, a if time is None else time(c), later)
    own, invalid = ("own", "evidence-invalid"), ("file", "evidence-invalid")
    try: files = strict(data, 32816)
    except Refused as why: check(*invalid, False, why)
    is_map = type(files) is dict and all(kind in range(1, 9) and type(claim) is bytes for kind, claim in files.items())
    check(*invalid, is_map, "a map of byte strings, claims or what came in place of them")
    keyset = claim(*invalid, "keyset", lambda *_: root)
    later = opened("keyset", newer, lambda *_: root) if newer else {}
    read = claim(*invalid, "verdict", key_of("attester", lambda verdict: verdict[6] * SECOND))
    check(*invalid, read[1] == read["signer"], "the verdict names its signer")
    check(*invalid, read[-65541] == {kind: sha256(files[kind]) for kind in files if kind != 8}, "it lists exactly these claims")
    verdict = read
    check(*own, -65542 in verdict or verdict[-65537] != "proved", "a proof has the time at which its receipt arrived")
    a, offset = verdict.get(-65542, verdict[6] * SECOND), verdict[-65543]
    check(*own, holds_at(keyset, a, LEEWAY), "the keyset's window")
    registration = claim(*own, "registration", lambda _, c: c[-65537])
    challenge = claim(*own, "challenge", key_of("attester"))
    announcement = claim(*own, "announcement", key_of("attester"))
    peer, attester, destination, probe, nonce = registration[2], challenge["signer"], challenge[3], challenge[7], challenge[10]
    request = b"GET /c/%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % (base64url(files[4]), destination.encode())
    try: welcomed = key_of("attester", lambda claim: claim[6] * SECOND)(from_base32(registration[3]), registration)
    except Revoked as why: check("own", "key-revoked", False, f"the registration's audience: {why}")
    check(*own, welcomed and registration[6] * SECOND <= a + LEEWAY, "registered for an attester key, and not in the future")
    check(*own, [announcement["signer"], announcement[1], challenge[1]] == [attester] * 3, "challenge and announcement: one key")
    check(*own, [announcement[2], challenge[2], announcement[7]] == [peer, peer, probe], "they are of this peer and one probe")
    check(*own, [announcement[key] for key in range(-65537, -65541, -1)] == [
        destination, sha256(files[4]), len(request), 1024 + challenge[-65537]], "the announcement is of this challenge")
    seen = claim(*own, "observation", key_of("prober"))
    check(*own, [seen[key] for key in (1, 2, 3, 7, 10)] == [seen["signer"], peer, attester, probe, nonce], "observed this probe")
    lengths = "truncated" if seen[-65543] < announcement[-65540] else "overlong"
    check("own", lengths, seen[-65543] == announcement[-65540], "as many bytes came down as were announced")
    check(*own, [seen[-65541], seen[-65542]] == [len(request), sha256(request)], "exactly the request went up")
    check("V0", "evidence-invalid", seen[-65539] == registration[-65538], "the registered address was dialled")
    check("V0", "pin-mismatch", seen[-65540] == registration[-65540], "the TLS key has the registered pin")
    check("V1", "receipt-missing", 7 in files, "there is a receipt")
    receipt = claim("V1", "receipt-signature", "receipt", lambda *_: registration[-65537])
    check("V1", "clock", holds_at(receipt, a, LEEWAY), "its window")
    check("V1", "receipt-mismatch", [receipt[key] for key in (1, 3, 7, 10, -65537)] == [
        peer, attester, probe, nonce, destination], "it is of this probe")
    statement = claim("V2", "statement-invalid", "statement", key_of("origin"))
    check("V2", "statement-replayed", holds_at(statement, a, LEEWAY) and [statement[key] for key in (1, 2, 3, 7, 10, -65537)] == [
        destination, peer, attester, probe, nonce, sha256(files[4])], "it is of this probe, and its window holds")
    check("V2", "origin-failed", statement[-65540] == challenge[-65537], "the body has the length that was asked for")
    check("V2", "body-altered", [seen[-65545], seen[-65546]] == [statement[-65540], statement[-65541]], "the origin's body came")
    head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/octet-stream\r\n" \
        b"cache-control: no-store, no-transform\r\ncontent-length: %d\r\nx-statement: %s\r\nx-pad: "
    head = (head % (statement[-65540], base64url(files[5]))).ljust(1020, b"-") + b"\r\n\r\n"
    check("V2", "head-altered", seen[-65549] == sha256(head), "under the one head of this statement")
    check("V3", "bytes-differ", receipt[-65544] != "overrun" and [receipt[key] for key in range(-65538, -65542, -1)] == [
        seen[key] for key in range(-65541, -65545, -1)], "peer and client counted the same bytes")
    home, source = ip_of(registration[-65538]), ip_of(statement[-65538])
    network = ipaddress.ip_network((home, 64 if home.version == 6 else 32), strict=False)
    check("V4", "egress", source in network, f"the traffic left from {source}, the peer is at {home}")
    nbf, exp = announcement[5] * SECOND, announcement[4] * SECOND
    check("V5", "receipt-late", a < exp, "the receipt arrived before the window's end")
    check("V5", "evidence-invalid", a >= nbf, "and not before its start")
    check("V5", "origin-failed", nbf - LEEWAY <= statement[-65539] < exp + LEEWAY, "the request was at the origin in the window")
    begun, ended = receipt[-65542] + offset, receipt[-65543] + offset
    check("V5", "clock", nbf - LEEWAY <= begun <= ended + LEEWAY and ended <= a + LEEWAY, "the peer's times are in order")
    say("V6      taken as held: only the attester's store knows the other probes")
    if challenge[-65537] >= goodput[0]:
        times = [seen[-65548].get(phase) for phase in (3, 6)]
        check("V7", "evidence-invalid", None not in times, "the measurement has its times")
        rate = seen[-65543] * SECOND // max(times[1] - times[0], 1)
        check("V7", "goodput", rate >= goodput[1], f"{rate} bytes a second, at least {goodput[1]}")
    check("subject", "evidence-invalid", [verdict[2], verdict[7]] == [peer, probe], "the verdict is about this peer and probe")
    return verdict

def summary(data, root, goodput=GOODPUT, newer=None, say=print):
    """What the verdict says, which check fails first and why, and whether the file holds."""
    try: verdict, check, found = examine(data, root, goodput, newer, say), "", ""
    except Fails as fails: check, found, verdict = fails.args
    outcome, stated = (verdict[-65537], verdict[-65538]) if verdict else ("", "")
    return {"outcome": outcome, "stated": stated, "check": check, "found": found,
            "holds": bool(verdict) and (outcome != "proved" or not found)}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="the evidence file")
    parser.add_argument("root", help="the root's public key: ed25519: and 52 characters")
    parser.add_argument("--goodput", nargs=2, type=int, metavar=("BODY", "FLOOR"), default=GOODPUT, help="what V7 demands")
    parser.add_argument("--keyset", type=Path, help="the newest keyset there is, for the keys that it revokes")
    chosen = parser.parse_args()
    root, newer = from_base32(chosen.root.removeprefix("ed25519:")), chosen.keyset and chosen.keyset.read_bytes()
    result = summary(chosen.file.read_bytes(), root, chosen.goodput, newer)
    print(json.dumps(result))
    sys.exit(0 if result["holds"] else 1)
