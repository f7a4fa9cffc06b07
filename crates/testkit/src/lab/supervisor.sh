# The first process of a lab: owns the namespaces in which the hosts live, and does nothing else.
# When it dies the kernel ends every process of the lab and drops its mounts and links.
# Argument: the lab's folder.
set -eu
folder=$1
read -r number rest </proc/self/stat
ip link set lo up
ip link add lab0 type bridge
ip link set lab0 up
echo "$number" >"$folder/supervisor.part"
mv "$folder/supervisor.part" "$folder/supervisor"
while :; do sleep infinity & wait; done
