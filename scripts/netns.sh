#!/usr/bin/env bash
# netns.sh CMD...: runs a command in a fresh network namespace with a tap device, `tap0`, on which
# the host is 10.0.2.2/24, and sets AXWIRE_NET=tap for it. Where namespaces or tap devices are not
# allowed, it runs the command as it is, with AXWIRE_NET=user.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin

if [[ ${1:-} == --inside ]]; then
    shift
    ip link set lo up
    ip tuntap add dev tap0 mode tap
    ip address add 10.0.2.2/24 dev tap0
    ip link set tap0 up
    # Ten frames, the default, are less than a burst between QEMU and the relay. Kernels do not
    # let everybody change it.
    { echo 512 >/proc/sys/net/unix/max_dgram_qlen; } 2>/dev/null || true
    exec "$@"
fi

flags=-n
((EUID == 0)) || flags=-Urn
if reason=$(unshare "$flags" "$0" --inside true 2>&1); then
    AXWIRE_NET=tap exec unshare "$flags" "$0" --inside "$@"
fi
echo "no network namespace with a tap device here (${reason##*$'\n'}): using user networking" >&2
AXWIRE_NET=user exec "$@"
