# Becomes the first process of a host: its root on an overlay, its own /proc, /dev and host name.
# Arguments: the host's folder, the lower layers, the host name, and `systemd` where that is to be the first
# process in the place of a shell. Runs in fresh namespaces.
set -eu
folder=$1 layers=$2 name=$3 first=${4:-shell}

# systemd gets a control group of its own, and a namespace in which that is the root of all.
if [ "$first" = systemd ]; then
    groups=$folder/groups
    mkdir -p "$groups"
    mount -t cgroup2 cgroup2 "$groups"
    mkdir -p "$groups/latchkey$folder"
    echo 0 >"$groups/latchkey$folder/cgroup.procs"
    umount "$groups"
    exec unshare --cgroup sh "$0" "$folder" "$layers" "$name" systemd-in-its-group
fi

# /proc is still the machine's here, so this is the number by which the machine knows us.
read -r number rest </proc/self/stat

cd "$folder"
mount -t overlay overlay -o "lowerdir=$layers,upperdir=$folder/upper,workdir=$folder/work" root
cd root

mount -t proc -o nosuid,nodev,noexec proc proc
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
if [ "$first" = systemd-in-its-group ]; then
    # The kernel's own settings are the machine's.
    mount --bind proc/sys proc/sys
    mount -o remount,ro,bind proc/sys
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    echo "$name" >etc/hostname
fi
mount -t tmpfs -o nosuid,mode=755,size=1m dev dev
for node in null zero full random urandom tty; do
    : >"dev/$node"
    mount --bind "/dev/$node" "dev/$node"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,nosuid,noexec,gid=5,mode=620,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o nosuid,nodev,mode=1777 shm dev/shm
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
mount -t tmpfs -o nosuid,nodev,mode=755 run run
mkdir run/lock run/lab
mount -t tmpfs -o nosuid,nodev,mode=1777 tmp tmp

hostname "$name"
ip link set lo up

pivot_root . mnt
cd /
echo "$number" >"/mnt$folder/init.part"
mv "/mnt$folder/init.part" "/mnt$folder/init"
umount -l /mnt

if [ "$first" = systemd-in-its-group ]; then
    exec env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=multi-user.target
fi
# The shell reaps every orphan while it waits.
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin /bin/sh -c 'while :; do sleep infinity & wait; done'
