# Adds many users without a password to a domain that does not run. Work on the database is several
# times as fast as LDAP. A transaction keeps every state of the lists in its indexes in memory, ten
# MiB for a user where there are a hundred thousand: they are short, processes have an end, and none
# may take more than two gigabytes. Arguments: how many.
import os
import resource
import sys

from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB

IN_ONE_PROCESS = 5000
IN_ONE_TRANSACTION = 50


def add(numbers):
    resource.setrlimit(resource.RLIMIT_DATA, (2**31, 2**31))
    lp = LoadParm()
    lp.load_default()
    db = SamDB(session_info=system_session(), lp=lp)
    base = str(db.domain_dn())
    domain = db.domain_dns_name()
    if numbers[0] == 0:
        db.add({"dn": f"OU=Crowd,{base}", "objectClass": "organizationalUnit"})
    for first in range(numbers[0], numbers[-1] + 1, IN_ONE_TRANSACTION):
        db.transaction_start()
        for number in range(first, min(first + IN_ONE_TRANSACTION, numbers[-1] + 1)):
            name = f"crowd{number:06}"
            db.add(
                {
                    "dn": f"CN={name},OU=Crowd,{base}",
                    "objectClass": "user",
                    "sAMAccountName": name,
                    "userPrincipalName": f"{name}@{domain}",
                    "displayName": f"Crowd Member {number}",
                    "mail": f"{name}@{domain}",
                    "userAccountControl": "544",
                }
            )
        db.transaction_commit()


count = int(sys.argv[1])
for first in range(0, count, IN_ONE_PROCESS):
    child = os.fork()
    if child == 0:
        add(range(first, min(first + IN_ONE_PROCESS, count)))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status != 0:
        sys.exit(f"users from number {first}: status {status}")
