"""Opens signed claims: sections 3 and 4 of proto/README.md, from their text alone.

Signatures are checked by the COSE library cwt, shapes by cddl-verifier with proto/claims.cddl: neither is by the authors of the
protocol.
"""
import base64, hashlib, ipaddress, unicodedata
from pathlib import Path
from cddl_verifier import Validator
from cddl_verifier.cbor import decode, encode
from cwt import COSE, COSEKey

CDDL = Validator(Path(__file__).parents[3] / "proto" / "claims.cddl")
PROTOCOLS = ["enproxy", "enproxy-path", "connect"]
SECOND = 1_000_000
P, ORDER_8 = 2**255 - 19, 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
sha256 = lambda data: hashlib.sha256(data).digest()
thumbprint = lambda key_id: base64.b32encode(key_id).decode().lower().rstrip("=")
ascending = lambda items: all(low < high for low, high in zip(items, items[1:]))
printable = lambda *texts: not any(unicodedata.category(char) == "Cc" for text in texts for char in text)
good_destination = lambda text: int(text.split(":")[1]) < 65536
ip_of = lambda text: ipaddress.ip_address(text.rpartition(":")[0].strip("[]"))


class Refused(Exception):
    """No claim, or not signed as it should be."""


class Revoked(Refused):
    """Signed by a key that does not count."""


def demand(holds, why):
    if not holds:
        raise Refused(why)


def strict(data, limit=4096):
    """Section 3, CBOR: bounded, the same bytes when it is encoded again, and plain."""
    demand(len(data) <= limit, "too long")
    try:
        value = decode(data)
        same = encode(value, canonical=True) == data
    except Exception as error:
        raise Refused(f"not CBOR: {error}") from error
    demand(same and plain(value, 4), "not deterministic, nested too deep, or of types that claims do not have")
    return value


def plain(value, depth):
    items = value if type(value) is list else [*value, *value.values()] if type(value) is dict else None
    return type(value) in (int, bytes, str, bool) if items is None else depth > 0 and all(plain(one, depth - 1) for one in items)


def good_key(encoded):
    """Section 3, Envelope: a point of the curve, in its one encoding, and not of small order."""
    y = int.from_bytes(encoded, "little") % 2**255
    x2 = (y * y - 1) * pow(y * y * -121665 * pow(121666, -1, P) + 1, -1, P)
    return y < P and y not in (0, 1, P - 1, ORDER_8, P - ORDER_8) and pow(x2, (P - 1) // 2, P) == 1


def good_address(text):
    try:
        ip, port = ip_of(text), int(text.rpartition(":")[2])
    except ValueError:
        return False
    plain_ip = ip.version == 4 or not (ip.ipv4_mapped or ip.scope_id)
    return plain_ip and port < 65536 and text == (f"{ip}:{port}" if ip.version == 4 else f"[{ip}]:{port}")


RULES = {  # Section 3, Names and keys, and section 4: what the CDDL cannot say.
    "keyset": lambda c: all(good_key(key[2]) for key in c[-65537]) and ascending([key[1] for key in c.get(-65538, [])]),
    "welcome": lambda c: ascending(c[-65539]),
    "registration": lambda c: c[1] == c[2] == thumbprint(sha256(c[-65537])) and good_key(c[-65537]) and good_address(c[-65538])
    and c[-65538][-2:] != ":0" and ascending([PROTOCOLS.index(one) for one in c[-65539]]) and printable(c[-65542]),
    "succession": lambda c: [c[1], c[2]] == [thumbprint(sha256(c[key])) for key in (-65537, -65538)] and c[1] != c[2]
    and good_key(c[-65537]) and good_key(c[-65538]) and c[4] - c[5] <= 120 * 86400,
    "announcement": lambda c: good_destination(c[-65537]),
    "challenge": lambda c: good_destination(c[3]),
    "statement": lambda c: good_destination(c[1]) and good_address(c[-65538]),
    "observation": lambda c: good_address(c[-65539]) and (ends := [end for _, end in sorted(c[-65548].items())]) == sorted(ends),
    "receipt": lambda c: c[1] == c[2] and good_destination(c[-65537]),
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
    demand(key and sha256(key) == header[4] and good_key(key), "another key than expected")
    demand(good_key(parts[3][:32]), "a signature with R of small order")
    try:
        COSE.new().decode(message, COSEKey.new({1: 1, 3: -8, -1: 6, -2: key, 2: header[4]}))
    except Exception as error:
        raise Refused(f"the signature does not hold: {error!r}") from error
    return claim | {"signer": thumbprint(header[4])}


def listed(keyset, role, key_id, at, newer={}):
    """The key that a keyset lists for a role under this id, if it counts at this time; a newer keyset may revoke it."""
    for revoking in (keyset, newer):
        since = {key[1]: key[2] for key in revoking.get(-65538, [])}.get(key_id)
        if since is not None and at >= since * SECOND:
            raise Revoked(f"the {role} key is revoked")
    keys = [key[2] for key in keyset[-65537] if key[1] == role and key[3] * SECOND <= at < key[4] * SECOND]
    return next((key for key in keys if sha256(key) == key_id), None)


def holds_at(claim, time, leeway):
    """Section 3, Time: whether the window holds, widened at both ends."""
    return time + leeway >= claim.get(5, claim[6]) * SECOND and time - leeway < claim[4] * SECOND
