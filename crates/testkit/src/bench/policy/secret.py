"""Gives Samba the password of the machine account, as adcli has just set it (on standard input)."""

import os
import sys

import ldb
import tdb
from samba import param
from samba.dcerpc.misc import SEC_CHAN_WKSTA

samba = param.LoadParm()
samba.load_default()
folder = samba.get("private dir")
domain, account = samba.get("workgroup"), samba.get("netbios name") + "$"

database = ldb.Ldb(folder + "/secrets.ldb")
place = "cn=Primary Domains"
database.add({"dn": place, "objectClass": ["top", "container"]})
database.add({
    "dn": f"flatname={domain},{place}",
    "objectClass": ["top", "primaryDomain", "kerberosSecret"],
    "flatname": domain,
    "realm": samba.get("realm"),
    "sAMAccountName": account,
    "secret": sys.stdin.read().rstrip("\n"),
    "secureChannelType": str(SEC_CHAN_WKSTA),
    "whenChanged": "20260101000000.0Z",
    "msDS-KeyVersionNumber": "1",
})
# It is looked for first, and need not hold anything.
tdb.open(folder + "/secrets.tdb", flags=os.O_RDWR | os.O_CREAT)
