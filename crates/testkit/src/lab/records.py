# Puts the names of a further domain controller into the domain's DNS, in the running controller's
# database. Reads {"zone", "host", "site", "number", "reverse", "everywhere"}.
import json
import sys

import ldb
from samba.auth import system_session
from samba.dcerpc import dnsp
from samba.ndr import ndr_pack
from samba.param import LoadParm
from samba.samdb import SamDB

plan = json.load(sys.stdin)
lp = LoadParm()
lp.load_default()
db = SamDB(session_info=system_session(), lp=lp)
domain = f"DC={plan['zone']},CN=MicrosoftDNS,DC=DomainDnsZones,{db.domain_dn()}"
forest = f"DC=_msdcs.{plan['zone']},CN=MicrosoftDNS,DC=ForestDnsZones,{db.domain_dn()}"
reverse = f"DC={plan['reverse']}.in-addr.arpa,CN=MicrosoftDNS,DC=DomainDnsZones,{db.domain_dn()}"
host = f"{plan['host']}.{plan['zone']}"


def record(kind, data):
    made = dnsp.DnssrvRpcRecord()
    made.wType = kind
    made.rank = dnsp.DNS_RANK_ZONE
    made.dwTtlSeconds = 900
    made.dwSerial = 1
    made.data = data
    return ndr_pack(made)


def add(zone, label, value):
    dn = ldb.Dn(db, f"DC={label},{zone}")
    try:
        db.add({"dn": dn, "objectClass": "dnsNode", "dnsRecord": value})
    except ldb.LdbError as fault:
        if fault.args[0] != ldb.ERR_ENTRY_ALREADY_EXISTS:
            raise
        change = ldb.Message(dn)
        change["dnsRecord"] = ldb.MessageElement([value], ldb.FLAG_MOD_ADD, "dnsRecord")
        db.modify(change)


def service(zone, label, port):
    data = dnsp.srv()
    data.nameTarget, data.wPort, data.wPriority, data.wWeight = host, port, 0, 100
    add(zone, label, record(dnsp.DNS_TYPE_SRV, data))


add(reverse, str(plan["number"]), record(dnsp.DNS_TYPE_PTR, host))
for scope in [f".{plan['site']}._sites"] + ([""] if plan["everywhere"] else []):
    for name, port in (("_ldap._tcp", 389), ("_kerberos._tcp", 88)):
        service(domain, f"{name}{scope}", port)
        service(forest, f"{name}{scope}.dc", port)
if plan["everywhere"]:
    service(domain, "_kerberos._udp", 88)
