"""Reads proto/vectors as another implementation would: an independent COSE library, CBOR codec and CDDL validator, from the text.

    python -m unittest test_vectors     (beside verify_evidence.py and tunnel.py, with the packages of requirements.txt)

At its end it says how many vectors it looked at, and fails if there is one, or a whole file, that it did not.
"""
import base64, binascii, json, re, sys, unittest
from pathlib import Path

from cddl_verifier.cbor import CBORTag, encode
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cwt import COSE, COSEKey, CWTError

import tunnel
from verify_evidence import (
    CDDL, RULES, SECOND, ascending, base64url, from_base32, good_key, holds_at, listed, opened, sha256, summary, thumbprint)

VECTORS = Path(__file__).parents[3] / "proto" / "vectors"
ROLES = {"welcome": "attester", "announcement": "attester", "challenge": "attester", "verdict": "attester",
         "statement": "origin", "observation": "prober"}
# The claims that are in no evidence.
RULES |= {
    "welcome": lambda c: ascending(c[-65539]),
    "succession": lambda c: [c[1], c[2]] == [thumbprint(sha256(c[key])) for key in (-65537, -65538)] and c[1] != c[2]
    and good_key(c[-65537]) and good_key(c[-65538]) and c[4] - c[5] <= 120 * 86400,
}
REFUSED = (ValueError, CWTError)
LOOKED = set()


def load(name):
    return json.loads((VECTORS / name).read_text())


def every_vector():
    """All that there are: the file, the list in it, and the name; of a file without a list, the file."""
    for file in VECTORS.glob("*.json"):
        lists = {part: vectors for part, vectors in load(file.name).items() if type(vectors) is list}
        names = [(file.name, part, vector["name"]) for part, vectors in lists.items() for vector in vectors]
        yield from names or [(file.name, "", "")]


def look(name, part):
    """The vectors of a list. One counts as looked at when whoever looks takes the next."""
    for vector in load(name)[part]:
        yield vector
        LOOKED.add((name, part, vector["name"]))


def tearDownModule():
    missed = sorted(set(every_vector()) - LOOKED)
    if missed:
        raise AssertionError(f"{len(missed)} vectors were not looked at: {missed[:20]}")
    print(f"looked at {len(LOOKED)} vectors in {len({name for name, _, _ in LOOKED})} files", file=sys.stderr)


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
        for key in look("keys.json", "keys"):
            public = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key["seed"])).public_key().public_bytes_raw()
            self.assertEqual(public.hex(), key["public"])
            self.assertEqual(sha256(public).hex(), key["key_id"])
            self.assertEqual(thumbprint(sha256(public)), key["thumbprint"])
            self.assertEqual("ed25519:" + thumbprint(public), key["text"])
            self.assertEqual(key["thumbprint"][:26], key["peer_id"])
            self.assertTrue(key["own_name"].startswith(f"peer-{key['peer_id']}."))
            self.assertEqual(self.read(key["text"]), public)

    def test_weak_keys_are_refused(self):
        for key in look("keys.json", "refused"):
            self.assertFalse(good_key(bytes.fromhex(key["public"])), key["name"])
            self.assertIn(key["error"], ("weak-key", "not-a-point"))

    def test_texts_have_one_spelling(self):
        for key in look("keys.json", "refused_texts"):
            with self.assertRaisesRegex(ValueError, f"^{key['error']}$", msg=key["name"]):
                self.read(key["text"])

    def read(self, text):
        """Section 3, Names and keys: a public key in text."""
        if not re.fullmatch("ed25519:[a-z2-7]{52}", text) or "ed25519:" + thumbprint(public := from_base32(text[8:])) != text:
            raise ValueError("text")
        if not good_key(public):
            raise ValueError("weak-key")
        return public


class Claims(unittest.TestCase):
    def setUp(self):
        self.keys = {key["name"]: key for key in load("keys.json")["keys"]}

    def test_every_part_is_made_again_byte_for_byte(self):
        for claim in look("claims.json", "claims"):
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
                with self.assertRaises(REFUSED, msg=f"{claim['name']} as {other}"):
                    opened(other, message, lambda *_: public)

    def test_cases_come_out_as_their_files_say(self):
        refused = 0
        for file in sorted([*VECTORS.glob("refused-*.json"), VECTORS / "windows.json", VECTORS / "roles.json"]):
            for case in look(file.name, "cases"):
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
                return listed(keyset, ROLES[case["claim"]], key_id, at // SECOND)
            return claim[-65537]

        try:
            return holds_at(opened(case["claim"], bytes.fromhex(case["message"]), find_key), at, case["leeway"])
        except REFUSED:
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
        for chain in look("successions.json", "chains"):
            with self.subTest(chain["name"]):
                self.assertEqual(self.is_chain(chain), chain["error"] == "", chain["rule"])

    def is_chain(self, chain):
        try:
            links = [self.is_link(link, chain["at"]) for link in chain["links"]]
        except REFUSED:
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
            raise ValueError("two different claims, or out of its window")
        return old


class Evidence(unittest.TestCase):
    def test_files_are_judged_as_the_vectors_say(self):
        root = bytes.fromhex(load("evidence.json")["root"])
        for case in look("evidence.json", "cases"):
            with self.subTest(case["name"]):
                said = []
                newer = bytes.fromhex(case.get("newer", "")) or None
                found = summary(bytes.fromhex(case["file"]), root, newer=newer, say=said.append)
                self.assertEqual(found, {key: case[key] for key in found}, said[-1:])
        for case in look("evidence.json", "refused"):
            found = summary(bytes.fromhex(case["file"]), root, say=lambda _: None)
            self.assertEqual((found["holds"], found["check"]), (False, "file"), case["name"])


class Probe(unittest.TestCase):
    def test_requests_are_made_and_read(self):
        for vector in look("probe.json", "requests"):
            challenge, destination = bytes.fromhex(vector["challenge"]), vector["destination"]
            encoded = base64url(challenge).decode()
            request = f"GET /c/{encoded} HTTP/1.1\r\nHost: {destination}\r\nConnection: close\r\n\r\n"
            self.assertEqual(request, vector["request"], vector["name"])
            up = 47 + -(-4 * len(challenge) // 3) + len(destination)
            self.assertEqual((up, sha256(request.encode()).hex()), (vector["up"], vector["sha256"]))
            self.assertEqual(self.challenge_in(request), challenge, vector["name"])

    def test_the_one_head_of_an_answer_is_made(self):
        for vector in look("probe.json", "heads"):
            start = (f"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/octet-stream\r\n"
                     f"cache-control: no-store, no-transform\r\ncontent-length: {vector['body_length']}\r\n"
                     f"x-statement: {base64url(bytes.fromhex(vector['statement'])).decode()}\r\nx-pad: ")
            head = start.ljust(1020, "-") + "\r\n\r\n" if len(start) <= 1020 else ""
            self.assertEqual((head, sha256(head.encode()).hex()), (vector["head"], vector["sha256"]), vector["name"])

    def test_other_openings_carry_no_challenge(self):
        for vector in look("probe.json", "no_probes"):
            self.assertIsNone(self.challenge_in(vector["opening"]), vector["name"])

    def challenge_in(self, opening):
        """Section 6, The tap: the challenge in the first line of a connection, in its one spelling."""
        found = re.match("GET /c/([A-Za-z0-9_-]+) HTTP/1\\.1\r\n", opening[:8192])
        try:
            challenge = base64.urlsafe_b64decode(found[1] + "==") if found else None
        except binascii.Error:
            return None
        return challenge if found and base64url(challenge).decode() == found[1] else None


class Tunnel(unittest.TestCase):
    def test_requests_mean_what_their_file_says(self):
        for vector in look("tunnel.json", "requests"):
            with self.subTest(vector["name"]):
                self.assertEqual(self.found(tunnel.read_request, vector), (vector.get("means"), vector["head"], vector["error"]))

    def test_responses_mean_what_their_file_says(self):
        for vector in look("tunnel.json", "responses"):
            with self.subTest(vector["name"]):
                self.assertEqual(self.found(tunnel.read_response, vector), (vector.get("means"), vector["head"], vector["error"]))

    def test_replies_open_a_tunnel_or_say_why_not(self):
        for vector in look("tunnel.json", "replies"):
            with self.subTest(vector["name"]):
                read = lambda data: ((reply := tunnel.read_reply(data))[:2], reply[2])
                means = None if vector["error"] else (vector["refused"], vector["text"])
                self.assertEqual(self.found(read, vector), (means, vector["head"], vector["error"]))

    def found(self, read, vector):
        """What a reader says of a head: what it means, its length, and why it is refused; each beginning of it is incomplete."""
        data = vector["bytes"].encode()
        for short in range(vector["head"]):
            with self.assertRaises(tunnel.Incomplete, msg=short):
                read(data[:short])
        try:
            return *read(data), ""
        except tunnel.Unusable as why:
            return None, 0, str(why)

    def test_bodies_end_where_their_file_says(self):
        for vector in look("tunnel.json", "bodies"):
            with self.subTest(vector["name"]):
                try:
                    body, rest, error = *tunnel.read_body(vector["ends"], bytes.fromhex(vector["stream"])), ""
                except tunnel.Unusable as why:
                    body, rest, error = b"", b"", str(why)
                self.assertEqual((body.hex(), rest.hex(), error), (vector["body"], vector["rest"], vector["error"]))


if __name__ == "__main__":
    unittest.main()
