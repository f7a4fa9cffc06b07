"""roadtx: a device joins, its users sign in on it, and a key takes the password's place."""

import base64
import json
import os
import pathlib
import subprocess
import sys

import person

BROKER = "29d9ed98-a469-4536-ade2-f981bc1d605e"
COMMAND_LINE = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
REGISTRATION = "urn:ms-drs:enterpriseregistration.windows.net"
GRAPH = "https://graph.microsoft.com"
NATIVE = "https://login.microsoftonline.com/common/oauth2/nativeclient"
DORA, EMIL = "dora@cloud.example", "emil@cloud.example"
PASSWORD, TENANT = os.environ["PASSWORD"], os.environ["TENANT"]
PROGRAM = str(pathlib.Path(sys.executable).with_name("roadtx"))


def run(*words):
    answer = subprocess.run([PROGRAM, *words], capture_output=True, text=True)
    assert answer.returncode == 0, (words, answer.stdout, answer.stderr)
    assert "Traceback" not in answer.stderr, (words, answer.stdout, answer.stderr)
    return answer.stdout


def claims(tokens):
    part = tokens["accessToken"].split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def tokens(*words):
    """A command that prints tokens, last."""
    printed = run(*words, "--tokens-stdout")
    return json.loads(printed[printed.index("{") :])


def kept():
    return json.loads(pathlib.Path(".roadtools_auth").read_text())


def by_device_code():
    """Dora signs in with both factors where roadtx shows a code."""
    words = ["gettokens", "--device-code", "--force-ngcmfa", "-c", BROKER, "-r", "drs"]
    client = subprocess.Popen(
        [PROGRAM, *words],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    for line in client.stdout:
        if "enter the code" in line:
            words = line.split()
            place = next(word for word in words if word.startswith("https://"))
            code = words[words.index("code") + 1]
            person.Person(DORA).type_code(place, code)
    assert client.wait() == 0


# Names, passwords and codes, at both generations of endpoints.
for words in (["-r", GRAPH], ["-s", f"{GRAPH}/.default openid offline_access"]):
    got = tokens("gettokens", "-u", EMIL, "-p", PASSWORD, "-c", BROKER, *words)
    assert claims(got)["amr"] == ["pwd"], claims(got)
run("gettokens", "-u", EMIL, "-p", PASSWORD, "-c", BROKER, "-r", GRAPH)
assert claims(tokens("refreshtokento", "-r", "drs"))["aud"] == REGISTRATION

# The device joins by its certificate in AD.
device = ["-c", "ws9_aad.pem", "-k", "ws9_aad.key"]
run(
    *["hybriddevice", "-c", "ws9.pem", "-k", "ws9.key", "-n", "WS9"],
    *["--sid", os.environ["DEVICE_SID"], "-t", TENANT],
)
own = tokens("deviceauth", *device, "-t", TENANT, "--client", BROKER, "-r", "drs")
assert claims(own)["deviceid"] == os.environ["DEVICE"], claims(own)

# One factor: a primary refresh token, which registers no key.
run("prt", "-u", EMIL, "-p", PASSWORD, *device, "-f", "emil.prt")
run("prtauth", "-c", BROKER, "-r", "drs", "-f", "emil.prt")
assert "ngcmfa" not in claims(kept())["amr"], claims(kept())
assert "mfa_required" in run("winhello", "-k", "emil.key")

# Both factors: the refresh token becomes a primary one, is renewed, and registers a key.
by_device_code()
assert claims(kept())["amr"] == ["pwd", "mfa", "ngcmfa"], claims(kept())

# Devices that AD does not have: joined and registered by who may, known by their certificates.
for way, name in (("join", "laptop"), ("register", "phone")):
    keys = ["-c", f"{name}.pem", "-k", f"{name}.key"]
    run("device", "-a", way, "-n", name, *keys)
    said = claims(tokens("deviceauth", *keys, "-t", TENANT, "--client", BROKER, "-r", "drs"))
    assert said["deviceid"] != os.environ["DEVICE"], said
    assert "deleted" in run("device", "-a", "delete", *keys)

run("prt", "-r", "file", *device, "-f", "dora.prt")
run("prt", "-a", "renew", "-f", "dora.prt")
run("prtauth", "-c", BROKER, "-r", "drs", "-f", "dora.prt")
said = claims(kept())
assert said["amr"] == ["pwd", "mfa", "ngcmfa"], said
assert said["deviceid"] == os.environ["DEVICE"], said
registered = run("winhello", "-k", "winhello.key")
assert "'kid'" in registered, registered

# From then on the key signs in.
run("prt", "-hk", "winhello.key", "-u", DORA, *device, "-f", "hello.prt")
said = claims(tokens("prtauth", "-c", COMMAND_LINE, "-r", GRAPH, "-f", "hello.prt"))
assert said["upn"] == DORA and said["amr"] == ["rsa", "mfa"], said
prt = json.loads(pathlib.Path("hello.prt").read_text())
by_cookie = ["gettokens", "--prt", prt["refresh_token"], "-c", COMMAND_LINE]
by_cookie += ["--prt-sessionkey", prt["session_key"], "-ru", NATIVE]
for words in ([], ["--kdf-v1"], ["-s", f"{GRAPH}/.default"]):
    said = claims(tokens(*by_cookie, *words))
    assert said["upn"] == DORA and said["deviceid"] == os.environ["DEVICE"], said

# A key of somebody else's does not.
stolen = ["prt", "-hk", "winhello.key", "-u", EMIL, *device, "-f", "stolen.prt"]
refused = subprocess.run([PROGRAM, *stolen], capture_output=True, text=True)
assert "AADSTS50129" in refused.stdout + refused.stderr, refused
assert not pathlib.Path("stolen.prt").exists()
print("roadtx: done")
