# Puts changes into the feed of a stopped server, past all that the server checks, or takes them out
# again. Reads {"verb", "lies": [...]} from standard input; "genuine" prints what a key came in with.
import base64
import hashlib
import json
import sqlite3
import sys

plan = json.load(sys.stdin)
db = sqlite3.connect("/var/lib/latchkey-server/store.sqlite")
in_use = "WHERE state NOT IN ('removing', 'removed')"
if plan["verb"] == "genuine":
    row = db.execute(
        "SELECT account, sid, device, material, evidence FROM keys JOIN changes USING (tenant, kid)"
        " WHERE kid = ? AND op = 'add'",
        [plan["kid"]],
    ).fetchone()
    user, sid, device, material, evidence = row
    print(json.dumps({
        "user": user, "sid": sid, "device": device,
        "material": base64.b64encode(material).decode(), "evidence": json.loads(evidence),
    }))
elif plan["verb"] == "tell":
    tenant, domain = db.execute("SELECT tenant, domain FROM keys").fetchone()
    db.execute("DROP INDEX keys_in_use")
    db.execute("DROP INDEX material_in_use")
    for lie in plan["lies"]:
        material = base64.b64decode(lie["material"])
        db.execute(
            "INSERT INTO keys (tenant, kid, domain, account, sid, device, material, material_hash,"
            " level, reason, attested, state, registered_ms)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'none', '', 0, 'registered', 0)",
            [tenant, lie["kid"], domain, lie["user"], lie["sid"], lie["device"], material,
             hashlib.sha256(material).digest()],
        )
        db.execute(
            "INSERT INTO changes (tenant, domain, kid, op, evidence, open)"
            " VALUES (?, ?, ?, 'add', ?, 1)",
            [tenant, domain, lie["kid"], json.dumps(lie["evidence"])],
        )
else:
    for lie in plan["lies"]:
        db.execute("DELETE FROM changes WHERE kid = ?", [lie["kid"]])
        db.execute("DELETE FROM keys WHERE kid = ?", [lie["kid"]])
    db.execute(f"CREATE UNIQUE INDEX keys_in_use ON keys (tenant, account, device) {in_use}")
    db.execute(f"CREATE UNIQUE INDEX material_in_use ON keys (tenant, material_hash) {in_use}")
db.commit()
