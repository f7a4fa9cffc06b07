# Fills a freshly provisioned domain before Samba starts: people, the agent's account and its one
# right, the authority of the KDC. Working on the database file takes a second; over LDAP it would
# take ten. Reads one JSON object from standard input, so that no password is in an argument.
import base64
import json
import os
import sys

import ldb
import samba.dckeytab
from samba.auth import system_session
from samba.credentials import Credentials
from samba.net import Net
from samba.param import LoadParm
from samba.samdb import SamDB
from samba.sd_utils import SDUtils

KEY_CREDENTIAL_LINK = "5b47d60f-6090-40b2-9f37-2a4de88f3063"
USER_CLASS = "bf967aba-0de6-11d0-a285-00aa003049e2"

plan = json.load(sys.stdin)
lp = LoadParm()
lp.load_default()
db = SamDB(session_info=system_session(), lp=lp)
base = str(db.domain_dn())


def find(account, attribute):
    found = db.search(base, expression=f"(sAMAccountName={account})", attrs=[attribute])
    return found[0]


# No password ages here: tools would warn about it in every test.
policy = ldb.Message(ldb.Dn(db, base))
policy["maxPwdAge"] = ldb.MessageElement(str(-(2**63)), ldb.FLAG_MOD_REPLACE, "maxPwdAge")
db.modify(policy)
db.setpassword("(sAMAccountName=Administrator)", plan["administrator"])

for unit in plan["units"]:
    db.add({"dn": f"OU={unit},{base}", "objectClass": "organizationalUnit"})
for person in plan["people"]:
    db.newuser(person["name"], person["password"], userou=f"OU={person['unit']}")
for group, members in plan["groups"].items():
    db.newgroup(group)
    db.add_remove_group_members(group, members, add_members_operation=True)

agent = plan["agent"]
db.newuser(agent["name"], agent["password"])
found = find(agent["name"], "objectSid")
change = ldb.Message(found.dn)
for attribute, value in (
    ("servicePrincipalName", agent["service"]),
    ("msDS-SupportedEncryptionTypes", "24"),
    ("userAccountControl", str(0x200 | 0x10000)),
):
    change[attribute] = ldb.MessageElement(value, ldb.FLAG_MOD_REPLACE, attribute)
db.modify(change)
sid = db.schema_format_value("objectSid", found["objectSid"][0]).decode()
SDUtils(db).dacl_add_ace(
    f"OU={agent['unit']},{base}",
    f"(OA;CIIO;RPWP;{KEY_CREDENTIAL_LINK};{USER_CLASS};{sid})",
)

authority = base64.b64decode(plan["authority"])
keys = f"CN=Public Key Services,CN=Services,{db.get_config_basedn()}"
for dn in (f"CN=NTAuthCertificates,{keys}", f"CN=Lab KDC CA,CN=Certification Authorities,{keys}"):
    db.add(
        {
            "dn": dn,
            "objectClass": "certificationAuthority",
            "cACertificate": authority,
            "authorityRevocationList": b"\x00",
            "certificateRevocationList": b"\x00",
        }
    )

credentials = Credentials()
credentials.guess(lp)
os.umask(0o077)
net = Net(credentials, lp)
for principal in (agent["name"], agent["service"]):
    net.export_keytab(keytab=agent["keytab"], principal=principal)
