# The server's store, past all that the server checks. Words: "tell" puts additions of keys, one JSON
# object a line of standard input, into the feed; "remove" puts removals of all of these keys there;
# "times" waits until so many keys were confirmed and says when; "states" how many keys are in which state; "users" how many.
import base64
import hashlib
import json
import sqlite3
import sys
import time

db = sqlite3.connect("/var/lib/latchkey-server/store.sqlite", timeout=60)
verb = sys.argv[1]
if verb == "tell":
    tenant, domain = db.execute("SELECT tenant, domain FROM computers LIMIT 1").fetchone()
    for line in sys.stdin:
        key = json.loads(line)
        material = base64.b64decode(key["material"])
        db.execute(
            "INSERT INTO keys (tenant, kid, domain, account, sid, device, material, material_hash,"
            " level, reason, attested, state, registered_ms)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'none', '', 0, 'registered', ?)",
            [tenant, key["kid"], domain, key["user"], key["sid"], key["device"], material,
             hashlib.sha256(material).digest(), int(time.time() * 1000)],
        )
        db.execute(
            "INSERT INTO changes (tenant, domain, kid, op, evidence, open) VALUES (?, ?, ?, 'add', ?, 1)",
            [tenant, domain, key["kid"], json.dumps(key["evidence"])],
        )
elif verb == "remove":
    there = "FROM keys WHERE device = ? AND state NOT IN ('removing', 'removed')"
    db.execute(
        "INSERT INTO changes (tenant, domain, kid, op, evidence, open)"
        f" SELECT tenant, domain, kid, 'remove', NULL, 1 {there}",
        [sys.argv[2]],
    )
    db.execute(
        f"UPDATE keys SET state = 'removing' WHERE kid IN (SELECT kid {there})", [sys.argv[2]]
    )
elif verb == "times":
    device, since, count, patience = sys.argv[2], *map(int, sys.argv[3:])
    deadline = time.monotonic() + patience
    while True:
        rows = db.execute(
            "SELECT confirmed_ms, count(*) FROM keys WHERE device = ? AND confirmed_ms > ?"
            " GROUP BY confirmed_ms ORDER BY confirmed_ms",
            [device, since],
        ).fetchall()
        if sum(keys for _, keys in rows) >= count or time.monotonic() > deadline:
            break
        # Seldom: the machine is being measured.
        time.sleep(1)
    print(json.dumps(rows))
elif verb == "states":
    rows = db.execute(
        "SELECT state || coalesce(' ' || code, ''), count(*) FROM keys WHERE device = ? GROUP BY 1",
        [sys.argv[2]],
    )
    print(json.dumps(dict(rows)))
else:
    print(json.dumps(db.execute("SELECT count(*) FROM users").fetchone()[0]))
db.commit()
