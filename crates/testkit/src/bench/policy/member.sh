# Makes this workstation a member of the domain for the Samba below $1 too: the same account, whose
# password adcli renews and tells both.
set -eu
root=$1
mkdir -p "$root/proc" "$root/dev" "$root/run" "$root/tmp" "$root/var/log/samba" \
    "$root/var/cache/samba" "$root/var/lib/samba/private"
mount --bind /proc "$root/proc"
mount --rbind /dev "$root/dev"
cp /etc/krb5.conf /etc/resolv.conf /etc/hosts "$root/etc/"
cat > "$root/etc/samba/smb.conf" <<'TEXT'
[global]
workgroup = CORP
realm = CORP.LATCHKEY.TEST
netbios name = WS1
security = ads
log level = 0
TEXT
tool=/usr/local/sbin/tell-samba
cat > "$tool" <<TEXT
#!/bin/sh
# What adcli believes to be Samba's net.
[ "\$1" = changesecretpw ] || exit 0
exec chroot "$root" python3 /etc/samba/secret.py
TEXT
chmod 755 "$tool"
adcli update --computer-password-lifetime=0 --domain-controller=dc.corp.latchkey.test \
    --add-samba-data --samba-data-tool="$tool"
