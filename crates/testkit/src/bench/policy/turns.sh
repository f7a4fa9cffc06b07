# One line a turn: microseconds of ours and of the reference with empty caches, then with full ones.
set -eu
root=$1 count=$2 objects=$3
clock() { printf '%s' "${EPOCHREALTIME/[^0-9]/}"; }
reference() { chroot "$root" samba-gpupdate --rsop --target=Computer; }
timed() {
    local begin
    begin=$(clock)
    "$@" > /run/told
    printf '%s ' "$(($(clock) - begin))"
}
for _ in $(seq "$count"); do
    timed latchkey policy refresh --force
    rm -rf "$root"/var/cache/samba/gpo*
    timed reference
    timed latchkey policy refresh
    timed reference
    echo
done
read=$(find "$root/var/cache/samba/gpo_cache" -iname gpt.ini | wc -l)
[ "$read" -ge "$objects" ] || { echo "the reference read $read objects only" >&2; exit 1; }
