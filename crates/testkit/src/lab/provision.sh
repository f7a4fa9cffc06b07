# Makes a new domain in this host. Arguments: realm, DNS domain, short name, own address, how the
# database is kept.
set -eu
realm=$1 domain=$2 short=$3 address=$4 store=$5
rm -f /etc/samba/smb.conf
samba-tool domain provision --realm="$realm" --domain="$short" --server-role=dc \
    --dns-backend=SAMBA_INTERNAL --host-name=dc --host-ip="$address" --backend-store="$store" \
    --function-level=2016 --option="ad dc functional level = 2016"

# A forwarder that is the controller itself would exhaust its sockets; the KDC's success line
# appears at level 3.
sed -i -e '/dns forwarder/d' -e '/^\[global\]/a\
	log level = 3\
	log file = /var/log/samba/samba.log\
	max log size = 0' /etc/samba/smb.conf
rm -f /etc/hosts.part /root/provision.sh
