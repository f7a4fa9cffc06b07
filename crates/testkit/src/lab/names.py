# Puts the lab's hosts into the domain's DNS, forward and reverse, before Samba starts.
# The reverse zone takes its properties, SOA and NS records from the forward zone.
# Reads {"zone", "reverse", "prefix", "hosts": {name: number}} from standard input.
import json
import sys

import ldb
from samba.auth import system_session
from samba.dcerpc import dnsp
from samba.ndr import ndr_pack, ndr_unpack
from samba.param import LoadParm
from samba.samdb import SamDB

plan = json.load(sys.stdin)
lp = LoadParm()
lp.load_default()
db = SamDB(session_info=system_session(), lp=lp)
zones = f"CN=MicrosoftDNS,DC=DomainDnsZones,{db.domain_dn()}"
forward = f"DC={plan['zone']},{zones}"
reverse = f"DC={plan['reverse']},{zones}"


def attribute(dn, name):
    return db.search(dn, scope=ldb.SCOPE_BASE, attrs=[name])[0][name]


def node(zone, label, records):
    dn = f"DC={label},{zone}"
    message = {"dn": dn, "objectClass": "dnsNode", "dnsRecord": records}
    try:
        db.add(message)
    except ldb.LdbError as fault:
        if fault.args[0] != ldb.ERR_ENTRY_ALREADY_EXISTS:
            raise


def record(kind, data):
    made = dnsp.DnssrvRpcRecord()
    made.wType = kind
    made.rank = dnsp.DNS_RANK_ZONE
    made.dwTtlSeconds = 900
    made.dwSerial = 1
    made.data = data
    return ndr_pack(made)


def authority(value):
    kind = ndr_unpack(dnsp.DnssrvRpcRecord, bytes(value)).wType
    return kind in (dnsp.DNS_TYPE_SOA, dnsp.DNS_TYPE_NS)


properties = [bytes(value) for value in attribute(forward, "dNSProperty")]
db.add({"dn": reverse, "objectClass": "dnsZone", "dNSProperty": properties})
top = attribute(f"DC=@,{forward}", "dnsRecord")
node(reverse, "@", [bytes(value) for value in top if authority(value)])

for host, number in plan["hosts"].items():
    node(forward, host, record(dnsp.DNS_TYPE_A, f"{plan['prefix']}{number}"))
    node(reverse, str(number), record(dnsp.DNS_TYPE_PTR, f"{host}.{plan['zone']}"))
