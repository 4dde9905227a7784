"""Reads proto/vectors as another implementation would: an independent COSE library, CBOR codec, CDDL validator and HTTP client.

    python -m unittest test_vectors        (beside claims.py and verify_evidence.py, with the packages of requirements.txt)
"""
import base64, http.client, io, json, unittest
from pathlib import Path

from cddl_verifier.cbor import CBORTag, encode
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cwt import COSE, COSEKey

from claims import CDDL, SECOND, Refused, good_key, holds_at, listed, opened, sha256, thumbprint
from verify_evidence import base64url, summary

VECTORS = Path(__file__).parents[3] / "proto" / "vectors"
ROLES = {"welcome": "attester", "announcement": "attester", "challenge": "attester", "verdict": "attester",
         "statement": "origin", "observation": "prober"}


def load(name):
    return json.loads((VECTORS / name).read_text())


def item(value):
    """A CBOR item as a vector writes it: {type: value}, with key and name beside it when it stands in a map."""
    kind, = value.keys() - {"key", "name"}
    inner = value[kind]
    return {
        "bstr": lambda: bytes.fromhex(inner),
        "array": lambda: [item(one) for one in inner],
        "map": lambda: {one["key"]: item(one) for one in inner},
    }.get(kind, lambda: inner)()


class Keys(unittest.TestCase):
    def test_names_follow_from_seeds(self):
        for key in load("keys.json")["keys"]:
            public = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key["seed"])).public_key().public_bytes_raw()
            self.assertEqual(public.hex(), key["public"])
            self.assertEqual(sha256(public).hex(), key["key_id"])
            self.assertEqual(thumbprint(sha256(public)), key["thumbprint"])
            self.assertEqual("ed25519:" + thumbprint(public), key["text"])
            self.assertEqual(key["thumbprint"][:26], key["peer_id"])
            self.assertTrue(key["own_name"].startswith(f"peer-{key['peer_id']}."))
            self.assertTrue(good_key(public))

    def test_weak_keys_are_refused(self):
        for key in load("keys.json")["refused"]:
            self.assertFalse(good_key(bytes.fromhex(key["public"])), key["name"])


class Claims(unittest.TestCase):
    def setUp(self):
        self.keys = {key["name"]: key for key in load("keys.json")["keys"]}

    def test_every_part_is_made_again_byte_for_byte(self):
        for claim in load("claims.json")["claims"]:
            with self.subTest(claim["name"]):
                key = self.keys[claim["signed_by"]]
                seed, public, kid = (bytes.fromhex(key[part]) for part in ("seed", "public", "key_id"))
                payload = encode({field["key"]: item(field) for field in claim["fields"]}, canonical=True)
                protected = encode({1: -8, 4: kid, 16: claim["typ"]}, canonical=True)
                to_be_signed = encode(["Signature1", protected, b"", payload], canonical=True)
                signature = Ed25519PrivateKey.from_private_bytes(seed).sign(to_be_signed)
                message = encode(CBORTag(18, [protected, {}, payload, signature]), canonical=True)
                made = {"payload": payload, "protected": protected, "to_be_signed": to_be_signed, "signature": signature,
                        "message": message, "digest": sha256(message)}
                for part, value in made.items():
                    self.assertEqual(value.hex(), claim[part], part)
                # And once more by the COSE library, which makes the whole envelope.
                signer = COSEKey.new({1: 1, 3: -8, -1: 6, -2: public, -4: seed, 2: kid})
                self.assertEqual(COSE.new().encode(payload, signer, {1: -8, 4: kid, 16: claim["typ"]}, {}), message)

    def test_they_are_accepted_as_what_they_are_and_as_nothing_else(self):
        vectors = load("claims.json")["claims"]
        names = {claim["claim"] for claim in vectors}
        for claim in vectors:
            message, public = bytes.fromhex(claim["message"]), bytes.fromhex(self.keys[claim["signed_by"]]["public"])
            read = opened(claim["claim"], message, lambda *_: public)
            self.assertEqual({field["key"]: item(field) for field in claim["fields"]} | {"signer": read["signer"]}, read)
            first, end = claim["window"]
            edges = [holds_at(read, time, 0) for time in (first * SECOND - 1, first * SECOND, end * SECOND - 1, end * SECOND)]
            self.assertEqual(edges, [False, True, True, False], claim["name"])
            for other in names - {claim["claim"]}:
                with self.assertRaises(Refused, msg=f"{claim['name']} as {other}"):
                    opened(other, message, lambda *_: public)

    def test_cases_come_out_as_their_files_say(self):
        refused = 0
        for file in sorted([*VECTORS.glob("refused-*.json"), VECTORS / "windows.json", VECTORS / "roles.json"]):
            for case in load(file.name)["cases"]:
                with self.subTest(f"{file.name}: {case['name']}"):
                    self.assertEqual(self.is_accepted(case), case["error"] == "", case["rule"])
                    refused += case["error"] != ""
        self.assertGreaterEqual(refused, 60)

    def is_accepted(self, case):
        root, at = bytes.fromhex(self.keys["root"]["public"]), case["at"]

        def find_key(key_id, claim):
            if "key" in case:
                return bytes.fromhex(case["key"])
            if "keyset" in case:
                keyset = opened("keyset", bytes.fromhex(case["keyset"]), lambda *_: root)
                return listed(keyset, ROLES[case["claim"]], key_id, at)
            return claim[-65537]

        try:
            return holds_at(opened(case["claim"], bytes.fromhex(case["message"]), find_key), at, case["leeway"])
        except Refused:
            return False

    def test_the_cddl_describes_what_it_should(self):
        for file in VECTORS.glob("*.json"):
            for case in load(file.name).get("cases", []):
                if "message" in case:
                    # This validator refuses duplicate keys, which are none to the CDDL.
                    twice = "twice" in case["name"] and case["error"] == "cbor"
                    found = CDDL.validate(bytes.fromhex(case["message"]), root_type=f"signed-{case['claim']}").valid
                    self.assertEqual(found, case["cddl"] and not twice, case["name"])

    def test_chains_of_successions(self):
        for chain in load("successions.json")["chains"]:
            with self.subTest(chain["name"]):
                self.assertEqual(self.is_chain(chain), chain["error"] == "", chain["rule"])

    def is_chain(self, chain):
        try:
            links = [self.is_link(link, chain["at"]) for link in chain["links"]]
        except Refused:
            return False
        joined = all(before[-65538] == after[-65537] for before, after in zip(links, links[1:]))
        keys = [link[-65537] for link in links] + [links[-1][-65538]] if links else []
        ends = not links or keys[-1].hex() == chain["key"]
        return None not in links and joined and ends and len(set(keys)) == len(keys) and len(links) <= 4

    def is_link(self, link, at):
        old, new = (opened("succession", bytes.fromhex(link[by]), lambda _, claim: claim[key])
                    for by, key in (("by_old", -65537), ("by_new", -65538)))
        same = {**old, "signer": ""} == {**new, "signer": ""}
        if not same or not holds_at(old, at, 0):
            raise Refused("two different claims, or out of its window")
        return old


class Evidence(unittest.TestCase):
    def test_files_are_judged_as_the_vectors_say(self):
        vectors = load("evidence.json")
        root = bytes.fromhex(vectors["root"])
        for case in vectors["cases"]:
            with self.subTest(case["name"]):
                said = []
                newer = bytes.fromhex(case.get("newer", "")) or None
                found = summary(bytes.fromhex(case["file"]), root, newer=newer, say=said.append)
                self.assertEqual(found, {key: case[key] for key in found}, said[-1:])
        for case in vectors["refused"]:
            found = summary(bytes.fromhex(case["file"]), root, say=lambda _: None)
            self.assertEqual((found["holds"], found["check"]), (False, "file"), case["name"])


class Probe(unittest.TestCase):
    def test_requests_and_heads_are_made_from_the_text(self):
        vectors = load("probe.json")
        for vector in vectors["requests"]:
            challenge, destination = bytes.fromhex(vector["challenge"]), vector["destination"]
            encoded = base64url(challenge).decode()
            request = f"GET /c/{encoded} HTTP/1.1\r\nHost: {destination}\r\nConnection: close\r\n\r\n"
            self.assertEqual(request, vector["request"], vector["name"])
            up = 47 + -(-4 * len(challenge) // 3) + len(destination)
            self.assertEqual((up, sha256(request.encode()).hex()), (vector["up"], vector["sha256"]))
        for vector in vectors["heads"]:
            start = (f"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/octet-stream\r\n"
                     f"cache-control: no-store, no-transform\r\ncontent-length: {vector['body_length']}\r\n"
                     f"x-statement: {base64url(bytes.fromhex(vector['statement'])).decode()}\r\nx-pad: ")
            head = start.ljust(1020, "-") + "\r\n\r\n" if len(start) <= 1020 else ""
            self.assertEqual(head, vector["head"], vector["name"])


class FakeSocket:
    """Bytes for http.client, which reads them as it reads a connection."""

    def __init__(self, data):
        self.data = data

    def makefile(self, *_):
        return io.BytesIO(self.data)


class Tunnel(unittest.TestCase):
    def test_requests_say_what_they_mean(self):
        for vector in load("tunnel.json")["requests"]:
            means = vector.get("means")
            if not means or means["kind"] not in ("call", "connect"):
                continue
            with self.subTest(vector["name"]):
                head = vector["bytes"][:vector["head"]]
                self.assertTrue(head.endswith("\r\n\r\n"))
                line, _, rest = head.partition("\r\n")
                fields = http.client.parse_headers(io.BytesIO(rest.encode()))
                method, target, _ = line.split(" ")
                if means["kind"] == "connect":
                    self.assertEqual((method, target), ("CONNECT", means["destination"]))
                    self.assertEqual(fields.get_all("X-Lantern-Auth-Token", []), means["tokens"])
                    self.assertEqual(fields["X-Lantern-Device-Id"], means["device_id"])
                elif target == "/":
                    named = [fields[f"X-Enproxy-{name}"] for name in ("Id", "Dest-Addr", "Op")]
                    self.assertEqual(named, [means["id"], means["destination"], means["op"]])
                if "body" in means and means["body"] != "chunked":
                    self.assertEqual(means["body"], {"length": int(fields.get("Content-Length", 0))})

    def test_responses_and_bodies_are_read_alike(self):
        vectors = load("tunnel.json")
        for vector in vectors["responses"]:
            if vector["error"] or vector["name"] == "after-interim-responses":
                continue
            response = http.client.HTTPResponse(FakeSocket(vector["bytes"].encode()))
            response.begin()
            means = vector["means"]
            self.assertEqual((response.status, response.headers.get("X-Enproxy-Eof") == "true"), (means["status"], means["eof"]))
            self.assertEqual((response.headers.get("X-Enproxy-Id"), response.chunked), (means["id"], means["body"] == "chunked"))
        for vector in vectors["bodies"]:
            if vector["ends"] == "chunked" and not vector["error"]:
                stream = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + bytes.fromhex(vector["stream"])
                response = http.client.HTTPResponse(FakeSocket(stream))
                response.begin()
                self.assertEqual(response.read().hex(), vector["body"], vector["name"])


if __name__ == "__main__":
    unittest.main()
