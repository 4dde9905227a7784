"""Checks an evidence file with nothing but the root's public key: sections 3, 4 and 7 of proto/README.md, from their text alone.

Explains each check up to the first that fails. The last line is JSON: the verdict's outcome and reason (empty when no verdict holds),
the first check that fails with its reason, and whether the file holds, as the exit status 0 or 1 says, too.
"""
import argparse, base64, hashlib, ipaddress, json, pathlib, sys, unicodedata
from cddl_verifier import Validator, cbor  # neither this nor the COSE library is by the protocol's authors
from cwt import COSE, COSEKey, CWTError

CDDL = Validator(pathlib.Path(__file__).parents[3] / "proto" / "claims.cddl")
NAMES = ["", "keyset", "registration", "announcement", "challenge", "statement", "observation", "receipt", "verdict"]
SECOND, LEEWAY, GOODPUT = 1_000_000, 10_000_000, [256 << 10, 32 << 10]
P, ORDER_8 = 2**255 - 19, 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
sha256 = lambda data: hashlib.sha256(data).digest()
base64url = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")
thumbprint = lambda key_id: base64.b32encode(key_id).decode().lower().rstrip("=")
from_base32 = lambda text: base64.b32decode(text.upper() + "====")
strict = lambda data: cbor.decode(data, require_deterministic=True)
ascending = lambda items: all(low < high for low, high in zip(items, items[1:]))
printable = lambda *texts: not any(unicodedata.category(char) == "Cc" for text in texts for char in text)
good_destination = lambda text: int(text.split(":")[1]) < 65536
ip_of = lambda text: ipaddress.ip_address(text.rpartition(":")[0].strip("[]"))
has = lambda claim, fields: claim | fields == claim
holds_at = lambda claim, at, leeway: at + leeway >= claim.get(5, claim[6]) * SECOND and at - leeway < claim[4] * SECOND

class Revoked(ValueError): """Signed by a key that does not count."""
class Fails(Exception): """A check that does not hold: its name, its reason, and the verdict if one was read."""
def demand(holds, why):
    if not holds: raise ValueError(why)

def good_key(encoded):  # Section 3, Envelope: a point of the curve, in its one encoding, and not of small order.
    y = int.from_bytes(encoded, "little") % 2**255
    x2 = (y * y - 1) * pow(y * y * -121665 * pow(121666, -1, P) + 1, -1, P)
    return y < P and y not in (0, 1, P - 1, ORDER_8, P - ORDER_8) and pow(x2, (P - 1) // 2, P) == 1
def good_address(text):  # Section 3, Names and keys: one spelling.
    ip, port = ip_of(text), int(text.rpartition(":")[2])
    return text == (f"{ip}:{port}" if ip.version == 4 else f"[{ip}]:{port}") and port < 65536 and not getattr(ip, "ipv4_mapped", None)

RULES = {  # Section 3, Names and keys, and section 4: what the CDDL cannot say.
    "keyset": lambda c: all(good_key(key[2]) for key in c[-65537]) and ascending([key[1] for key in c.get(-65538, [])]),
    "registration": lambda c: c[1] == c[2] == thumbprint(sha256(c[-65537])) and good_key(c[-65537]) and good_address(c[-65538])
    and c[-65538][-2:] != ":0" and ascending([(one == "connect", one) for one in c[-65539]]) and printable(c[-65542]),
    "announcement": lambda c: good_destination(c[-65537]), "challenge": lambda c: good_destination(c[3]),
    "observation": lambda c: good_address(c[-65539]) and (ends := [end for _, end in sorted(c[-65548].items())]) == sorted(ends),
    "receipt": lambda c: c[1] == c[2] and good_destination(c[-65537]),
    "statement": lambda c: good_destination(c[1]) and good_address(c[-65538]),
    "verdict": lambda c: (c[-65537] == "proved") == (c[-65538] == "") and printable(c[-65538], c[-65539], c[-65540]),
}

def opened(name, message, find_key):
    """A claim, in the order of checks, with its signer's thumbprint. `find_key`: the key that must sign, for key id and claim."""
    demand(len(message) <= 4096 and message[:1] == b"\xd2", "no tagged COSE_Sign1")
    parts, shape = strict(message[1:]), CDDL.validate(message, root_type=f"signed-{name}")
    demand(shape.valid, f"not a {name}: {[diagnostic.message for diagnostic in shape.diagnostics]}")
    header, claim = strict(parts[0]), strict(parts[2])
    demand(RULES[name](claim), f"it breaks a rule of the {name}")
    key = find_key(header[4], claim)
    demand(key and sha256(key) == header[4] and good_key(key) and good_key(parts[3][:32]), "another key than expected, or a weak one")
    COSE.new().decode(message, COSEKey.new({1: 1, 3: -8, -1: 6, -2: key, 2: header[4]}))
    return claim | {"signer": thumbprint(header[4])}

def listed(keyset, role, key_id, at, newer={}):
    """The key that a keyset lists for a role under this id, if it counts in this second; a newer keyset may revoke it."""
    if any(at >= key[2] for known in (keyset, newer) for key in known.get(-65538, []) if key[1] == key_id):
        raise Revoked(f"the {role} key is revoked")
    return next((key[2] for key in keyset[-65537] if key[1] == role and key[3] <= at < key[4] and sha256(key[2]) == key_id), None)

def examine(data, root, goodput=GOODPUT, newer=None, say=print):
    """The verdict in a file; raises Fails for the first check that does not hold. `newer`: a keyset that may revoke keys."""
    verdict = {}
    def check(name, holds, what, reason="evidence-invalid"):
        say(f"{name:8}{'holds' if holds else reason}: {what}")
        if not holds: raise Fails(name, reason, verdict)
    def claim(name, kind, find_key, reason="evidence-invalid"):
        try: return opened(kind, files.get(NAMES.index(kind), b""), find_key)
        except (ValueError, CWTError) as why: check(name, False, f"{kind}: {why}", "key-revoked" if type(why) is Revoked else reason)
    by = lambda role: lambda key_id, _: listed(keyset, role, key_id, a // SECOND, later)
    try: files = strict(data) if len(data) <= 32816 else None
    except ValueError: files = None
    is_map = type(files) is dict and files.keys() <= set(range(1, 9)) and all(type(part) is bytes for part in files.values())
    check("file", is_map, "a map of byte strings, claims or what came in place of them")
    keyset, later = claim("file", "keyset", lambda *_: root), opened("keyset", newer, lambda *_: root) if newer else {}
    read = claim("file", "verdict", lambda key_id, c: listed(keyset, "attester", key_id, c[6], later))
    digests = {kind: sha256(files[kind]) for kind in files.keys() - {8}}
    check("file", has(read, {1: read["signer"], -65541: digests}), "the verdict names its signer and exactly these claims")
    verdict, a = read, read.get(-65542, None if read[-65537] == "proved" else read[6] * SECOND)
    check("own", a is not None and holds_at(keyset, a, LEEWAY), "the receipt's arrival is known, and the keyset's window holds then")
    welcomed = lambda c: listed(keyset, "attester", from_base32(c[3]), c[6], later) and c[6] * SECOND <= a + LEEWAY
    registration = claim("own", "registration", lambda _, c: welcomed(c) and c[-65537])
    challenge, announcement = (claim("own", kind, by("attester")) for kind in ("challenge", "announcement"))
    peer, attester, destination, probe, nonce = registration[2], challenge["signer"], challenge[3], challenge[7], challenge[10]
    request = b"GET /c/%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % (base64url(files[4]), destination.encode())
    announced = {-65537: destination, -65538: sha256(files[4]), -65539: len(request), -65540: 1024 + challenge[-65537]}
    check("own", has(challenge, {1: attester, 2: peer}) and announcement["signer"] == attester
          and has(announcement, {1: attester, 2: peer, 7: probe, **announced}), "the announcement is of this challenge")
    seen = claim("own", "observation", by("prober"))
    check("own", has(seen, {1: seen["signer"], 2: peer, 3: attester, 7: probe, 10: nonce}), "the observation is of this probe")
    edge, length = seen[-65537] == "fronted", "truncated" if seen[-65543] < announcement[-65540] else "overlong"
    check("own", seen[-65543] == announcement[-65540], "as many bytes came down as were announced", length)
    check("own", has(seen, {-65541: len(request), -65542: sha256(request)}), "exactly the request went up")
    check("V0", edge or seen[-65539] == registration[-65538], "the registered address was dialled")
    check("V0", edge or seen[-65540] == registration[-65540], "the TLS key has the registered pin", "pin-mismatch")
    receipt = claim("V1", "receipt", lambda *_: registration[-65537], "receipt-signature" if 7 in files else "receipt-missing")
    check("V1", holds_at(receipt, a, LEEWAY), "the receipt's window holds", "clock")
    check("V1", has(receipt, {1: peer, 3: attester, 7: probe, 10: nonce, -65537: destination}), "of this probe", "receipt-mismatch")
    statement = claim("V2", "statement", by("origin"), "statement-invalid")
    this = has(statement, {1: destination, 2: peer, 3: attester, 7: probe, 10: nonce, -65537: sha256(files[4])})
    check("V2", this and holds_at(statement, a, LEEWAY), "it is of this probe, and its window holds", "statement-replayed")
    check("V2", statement[-65540] == challenge[-65537], "the body has the length that was asked for", "origin-failed")
    check("V2", has(seen, {-65545: statement[-65540], -65546: statement[-65541]}), "the origin's body came", "body-altered")
    head = (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/octet-stream\r\n"
            b"cache-control: no-store, no-transform\r\ncontent-length: %d\r\nx-statement: %s\r\nx-pad: "
            % (statement[-65540], base64url(files[5]))).ljust(1020, b"-") + b"\r\n\r\n"
    check("V2", seen[-65549] == sha256(head), "under the one head of this statement", "head-altered")
    counted = {-65538: seen[-65541], -65539: seen[-65542], -65540: seen[-65543], -65541: seen[-65544]}
    check("V3", has(receipt, counted) and receipt[-65544] != "overrun", "peer and client counted the same bytes", "bytes-differ")
    home, source = ip_of(registration[-65538]), ip_of(statement[-65538])
    network = ipaddress.ip_network((home, 64 if home.version == 6 else 32), strict=False)
    check("V4", source in network, f"the traffic left from {source}, the peer is at {home}", "egress")
    nbf, exp = announcement[5] * SECOND, announcement[4] * SECOND
    check("V5", a < exp, "the receipt arrived before the window's end", "receipt-late")
    check("V5", a >= nbf, "and not before its start")
    check("V5", nbf - LEEWAY <= statement[-65539] < exp + LEEWAY, "the request was at the origin in the window", "origin-failed")
    begun, ended = receipt[-65542] + verdict[-65543], receipt[-65543] + verdict[-65543]
    check("V5", nbf - LEEWAY <= begun <= ended + LEEWAY and ended <= a + LEEWAY, "the peer's times are in order", "clock")
    if challenge[-65537] >= goodput[0]:
        times = [seen[-65548].get(phase) for phase in (3, 6)]
        check("V7", None not in times, "the measurement has its times")
        rate = seen[-65543] * SECOND // max(times[1] - times[0], 1)
        check("V7", rate >= goodput[1], f"{rate} bytes a second, at least {goodput[1]}", "goodput")
    check("subject", has(verdict, {2: peer, 7: probe}), "the verdict is about this peer and probe (V6 is taken as held)")
    return verdict

def summary(data, root, goodput=GOODPUT, newer=None, say=print):
    """What the verdict says, which check fails first and why, and whether the file holds."""
    try: verdict, check, found = examine(data, root, goodput, newer, say), "", ""
    except Fails as fails: check, found, verdict = fails.args
    holds = bool(verdict) and (verdict[-65537] != "proved" or not found)
    return {"outcome": verdict.get(-65537, ""), "stated": verdict.get(-65538, ""), "check": check, "found": found, "holds": holds}

if __name__ == "__main__":
    parser, read = argparse.ArgumentParser(description=__doc__), lambda path: pathlib.Path(path).read_bytes()
    parser.add_argument("data", type=read, metavar="file", help="the evidence file")
    parser.add_argument("root", type=lambda text: from_base32(text.removeprefix("ed25519:")), help="the root's public key, as text")
    parser.add_argument("--goodput", nargs=2, type=int, metavar=("BODY", "FLOOR"), default=GOODPUT, help="what V7 demands")
    parser.add_argument("--keyset", type=read, dest="newer", help="the newest keyset there is, for the keys that it revokes")
    result = summary(**vars(parser.parse_args()))
    print(json.dumps(result))
    sys.exit(0 if result["holds"] else 1)
