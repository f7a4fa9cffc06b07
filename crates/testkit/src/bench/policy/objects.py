"""Copies the group policy object named on the command line, in the directory and in SYSVOL, until
there are as many as the second word says, each linked to the domain."""

import shutil
import sys
import uuid

from samba import param
from samba.auth import system_session
from samba.samdb import SamDB

import ldb

first, count = sys.argv[1], int(sys.argv[2])
settings = param.LoadParm()
settings.load_default()
directory = SamDB(session_info=system_session(), lp=settings)
domain = str(directory.get_default_basedn())
policies = f"CN=Policies,CN=System,{domain}"
folder = "/var/lib/samba/sysvol/corp.latchkey.test/Policies"
wanted = [
    "flags", "gPCFunctionalityVersion", "versionNumber",
    "gPCMachineExtensionNames", "gPCUserExtensionNames",
]
found = directory.search(f"CN={first},{policies}", ldb.SCOPE_BASE, attrs=wanted)[0]
shared = {name: str(found[name]) for name in wanted if name in found}
links = [first]
directory.transaction_start()
for number in range(1, count):
    guid = "{" + str(uuid.uuid4()).upper() + "}"
    dn = f"CN={guid},{policies}"
    directory.add({
        "dn": dn,
        "objectClass": "groupPolicyContainer",
        "displayName": f"bench {number}",
        "gPCFileSysPath": f"\\\\corp.latchkey.test\\sysvol\\corp.latchkey.test\\Policies\\{guid}",
        **shared,
    })
    for half in ("User", "Machine"):
        directory.add({"dn": f"CN={half},{dn}", "objectClass": "container"})
    shutil.copytree(f"{folder}/{first}", f"{folder}/{guid}")
    links.append(guid)
message = ldb.Message(ldb.Dn(directory, domain))
text = "".join(f"[LDAP://CN={guid},{policies};0]" for guid in links)
message["gPLink"] = ldb.MessageElement(text, ldb.FLAG_MOD_REPLACE, "gPLink")
directory.modify(message)
directory.transaction_commit()
