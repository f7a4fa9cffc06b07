"""Makes the domain of crates/policy/tests/fixtures/gpo anew in the directory of this host.

The argument is that folder. Prints what has another name here: the domain, and SIDs of groups."""

import json
import os
import shutil
import subprocess
import sys

import ldb
from samba.auth import system_session
from samba.dcerpc import security
from samba.ndr import ndr_pack
from samba.param import LoadParm
from samba.samdb import SamDB

OLD_DOMAIN = "DC=gpo,DC=example,DC=test"
OLD_NAME = "gpo.example.test"
SETTINGS = [
    "displayName",
    "flags",
    "gPCFileSysPath",
    "gPCFunctionalityVersion",
    "gPCMachineExtensionNames",
    "gPCUserExtensionNames",
    "gPCWQLFilter",
    "versionNumber",
]

source = sys.argv[1]
config = LoadParm()
config.load_default()
db = SamDB(session_info=system_session(), lp=config)
name = db.domain_dns_name()


def text_of(file):
    with open(os.path.join(source, file), encoding="utf-8") as opened:
        return opened.read()


def records(file):
    text = text_of(f"ldif/{file}.ldif").replace(OLD_DOMAIN, str(db.domain_dn())).replace(OLD_NAME, name)
    return [message for _, message in ldb.Ldb().parse_ldif(text)]


def exists(dn):
    try:
        return bool(db.search(dn, ldb.SCOPE_BASE))
    except ldb.LdbError:
        return False


def change(dn, attribute, values, flag=ldb.FLAG_MOD_REPLACE, controls=()):
    message = ldb.Message(ldb.Dn(db, str(dn)))
    message[attribute] = ldb.MessageElement(values, flag, attribute)
    db.modify(message, controls=list(controls))


def depth(record):
    return len(record.dn)


places = records("som") + records("som-site")
for place in sorted(places, key=depth):
    if not exists(place.dn):
        db.add({"dn": str(place.dn), "objectClass": "organizationalUnit"})

accounts = records("accounts") + records("accounts-default-containers")
for account in accounts:
    login = str(account["sAMAccountName"][0])
    for known in db.search(expression=f"(sAMAccountName={ldb.binary_encode(login)})"):
        db.delete(known.dn)
    new = {"dn": str(account.dn), "sAMAccountName": login}
    classes = [str(c) for c in account["objectClass"]]
    if "group" in classes:
        new |= {"objectClass": "group", "groupType": str(account["groupType"][0])}
    elif "computer" in classes:
        new |= {"objectClass": "computer", "userAccountControl": "4096"}
    else:
        new |= {"objectClass": "user", "userAccountControl": "514"}
    db.add(new)
for account in accounts:
    if "member" in account:
        change(account.dn, "member", [str(m) for m in account["member"]], ldb.FLAG_MOD_ADD)
sids = {}
for line in text_of("groups.tsv").splitlines():
    login, old = line.split("\t")
    expression = f"(sAMAccountName={ldb.binary_encode(login)})"
    (found,) = db.search(expression=expression, attrs=["objectSid"])
    sid = db.schema_format_value("objectSid", found["objectSid"][0]).decode()
    sids[old] = sid
    for account in accounts:
        primary = str(account.get("primaryGroupID", idx=0))
        if old.endswith(f"-{primary}"):
            change(found.dn, "member", [str(account.dn)], ldb.FLAG_MOD_ADD)
            change(account.dn, "primaryGroupID", [sid.rsplit("-", 1)[1]])

known = json.loads(text_of("sd/security-descriptors.json"))
descriptors = {entry["guid"]: entry["sddl"] for entry in known}
domain_sid = security.dom_sid(db.get_domain_sid())
for policy in records("gpc"):
    if exists(policy.dn):
        continue
    new = {"dn": str(policy.dn), "objectClass": "groupPolicyContainer"}
    new |= {a: str(policy[a][0]) for a in SETTINGS if a in policy}
    db.add(new)
    for child in ["User", "Machine"]:
        db.add({"dn": f"CN={child},{policy.dn}", "objectClass": "container"})
    sddl = descriptors[str(policy["cn"][0])]
    for old, now in sids.items():
        sddl = sddl.replace(old, now)
    descriptor = ndr_pack(security.descriptor.from_sddl(sddl, domain_sid))
    change(policy.dn, "nTSecurityDescriptor", [descriptor], controls=["sd_flags:1:7"])

sysvol = os.path.join(config.get("path", "sysvol"), name)
shutil.copytree(os.path.join(source, "sysvol", OLD_NAME), sysvol, dirs_exist_ok=True)
subprocess.run(["samba-tool", "ntacl", "sysvolreset"], check=True, stdout=subprocess.DEVNULL)

for place in places:
    for attribute in ["gPLink", "gPOptions"]:
        if attribute in place:
            change(place.dn, attribute, [str(place[attribute][0])])
print(json.dumps({OLD_DOMAIN: str(db.domain_dn())} | sids))
