#!/usr/bin/env bash
# peer.sh TAP ADDRESS CMD...: becomes a command in a network namespace of its own, a second host, in
# which TAP is a new tap device with ADDRESS. A relay reaches it as tap:TAP@PID.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin

if [[ ${1:-} == --inside ]]; then
    tap=$2 address=$3
    shift 3
    ip link set lo up
    ip tuntap add dev "$tap" mode tap
    ip address add "$address" dev "$tap"
    ip link set "$tap" up
    exec "$@"
fi
exec unshare -n "$0" --inside "$@"
