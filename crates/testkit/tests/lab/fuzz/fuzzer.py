# Sends the daemon frames that are nearly right: every operation's, changed by a generator that does the
# same for the same seed. Arguments: the seed, how many frames. Each answer must be one, or the daemon must
# hang up; tells at the end, as JSON, how often it said what.
import collections
import json
import os
import random
import socket
import struct
import sys

PATH = "/run/latchkey/latchkeyd.sock"
UID = os.getuid()
# A message of the daemon's is a secret in hexadecimal.
PIN = "111111".encode().hex()
NAME = "ab" * 24
GUID = "11111111-2222-4333-8444-555555555555"
DIGEST = "3031300d060960864801650304020105000420" + "07" * 32
OPERATIONS = {
    "hello": {},
    "status": {"remote": False, "tests": True},
    "join": {"url": "https://server.example", "fingerprint": "sha256:ab"},
    "leave": {},
    "enroll.start": {},
    "enroll.input": {"session": NAME, "confirm": True, "password": PIN, "otp": PIN, "way": "skip"},
    "enroll.poll": {"session": NAME, "wait_s": 1},
    "enroll.cancel": {"session": NAME},
    "signin": {"user": None, "pin": PIN, "service": "login", "remote": False, "offline": True},
    "unlock": {"uid": UID},
    "sign": {"ticket": NAME, "digest_info": DIGEST},
    "token_info": {"uid": UID, "remote": False},
    "cert": {"uid": UID},
    "keys.list": {"uid": UID},
    "keys.delete": {"kid": GUID},
    "pin.rules": {"user": None},
    "pin.change": {"user": None, "old": PIN, "new": PIN, "phrase": "LATCHKEY"},
    "pin.reset": {"new_key": False},
    "kdc.list": {},
    "policy.show": {"user": None},
    "policy.refresh": {"force": True},
    "session.open": {"user": "alice", "remote": False},
    "session.close": {"user": "alice"},
    "lock": {},
    "events": {"id": 360, "since": 0, "after": 0},
}
# What takes the time of the domain, the server or the TPM comes seldom as it should be.
SLOW = {"enroll.start", "keys.list", "pin.reset", "policy.refresh", "policy.show", "signin", "status"}
ODD = [
    None, True, -1, 0, 1, 2**31, 2**32, 2**63, 2**64, -(2**63), 1e308, 0.5, "", "\x00", "a" * 5000,
    "\u202e", "\U0001f600", "%s%n", "../../etc/passwd", "root", [], {}, [[]] * 50, {"": {}}, NAME, PIN,
]

seed, count = int(sys.argv[1]), int(sys.argv[2])
chance = random.Random(seed)
told = collections.Counter()


def deep(depth):
    return "[" * depth + "]" * depth


def odd_arguments(args):
    """Others, or others of the same kind, which get farther."""
    args = dict(args)
    for _ in range(chance.randint(1, 3)):
        way = chance.randrange(8)
        if way == 0 or not args:
            args[chance.choice(["", "uid", "pin", "user", "extra", "session"])] = chance.choice(ODD)
        elif way == 1:
            del args[chance.choice(sorted(args))]
        elif way == 2:
            args[chance.choice(sorted(args))] = chance.choice(ODD)
        else:
            name = chance.choice(sorted(args))
            alike = [odd for odd in ODD if isinstance(odd, type(args[name]) if args[name] is not None else str)]
            args[name] = chance.choice(alike)
    return args


def message():
    op = chance.choice(sorted(OPERATIONS))
    way = chance.randrange(10)
    args = OPERATIONS[op]
    if way < 5 or op in SLOW and chance.randrange(20):
        args = odd_arguments(args)
    whole = {"v": 1, "id": chance.choice([7, 0, 2**64 - 1]), "op": op, "args": args}
    if way == 5:
        whole[chance.choice(["v", "id", "op", "args", "more"])] = chance.choice(ODD)
    if way == 6:
        del whole[chance.choice(["v", "id", "op", "args"])]
    if way == 7:
        whole["v"] = chance.choice([0, 2, 2**32 - 1])
    text = json.dumps(whole, ensure_ascii=bool(chance.randrange(2))).encode("utf-8", "surrogatepass")
    if way == 8:
        text = text.replace(b'"args": {', b'"args": {"x":' + deep(chance.choice([9, 127, 5000])).encode())
    return text


def mutated(text):
    """Bytes flipped, taken out, doubled or put in."""
    text = bytearray(text)
    for _ in range(chance.choice([0, 0, 0, 0, 1, 2, 8])):
        at = chance.randrange(len(text) or 1)
        way = chance.randrange(4)
        if way == 0 and text:
            text[at % len(text)] ^= 1 << chance.randrange(8)
        elif way == 1:
            del text[at : at + chance.randrange(9)]
        elif way == 2:
            text[at:at] = text[at : at + chance.randrange(64)]
        else:
            text[at:at] = chance.randbytes(chance.randrange(9))
    return bytes(text)


def whole(peer, length):
    read = b""
    while len(read) < length:
        piece = peer.recv(length - len(read))
        if not piece:
            break
        read += piece
    return read


def answer(peer):
    head = whole(peer, 4)
    if len(head) < 4:
        assert not head, "half of a length"
        return None
    (length,) = struct.unpack("<I", head)
    assert length <= 1024 * 1024, "an answer beyond the bound"
    text = whole(peer, length)
    assert len(text) == length, "half of an answer"
    said = json.loads(text)
    assert said["v"] == 1 and ("ok" in said) != ("error" in said), said
    return said


def connected():
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(100)
    peer.connect(PATH)
    return peer


def play(peer):
    """Sends one; true where the connection goes on."""
    text = mutated(message())
    length, cut = len(text), len(text)
    framing = chance.randrange(30)
    if framing == 0:
        length = chance.choice([0, 1, length + 1, 65536, 65537, 2**31, 2**32 - 1])
    elif framing == 1:
        cut = chance.randrange(len(text) + 1)
    is_whole = length <= cut
    try:
        peer.sendall(struct.pack("<I", length) + text[:cut])
        if not is_whole or length < cut:
            peer.shutdown(socket.SHUT_WR)
        said = answer(peer)
    except (BrokenPipeError, ConnectionResetError):
        said = None
    if said is None:
        told["hung up"] += 1
        return False
    told[said["error"]["code"] if "error" in said else "ok"] += 1
    return length == cut


peer = connected()
for _ in range(count):
    if not play(peer):
        peer.close()
        peer = connected()
print(json.dumps(told))
