#!/usr/bin/env bash
# qemu.sh IMAGE: boots an image in the foreground. The Makefile's variables come from the
# environment; see scripts/help.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

image=$1
app=${image##*/}
app=${app%-*}
mem=${MEM:-128M} smp=${SMP:-1} log=${LOG:-warn} net=${NET_DEV:-user} tap=${TAP:-tap0}

# PROTOCOL:HOST_PORT:GUEST_PORT of what user networking forwards from 127.0.0.1.
case $app in
httpd | threads | threads-upstream) ports="tcp:8080:80" ;;
echo) ports="tcp:5507:7 udp:5507:7 tcp:5509:9 udp:5509:9 tcp:5519:19 udp:5519:19" ;;
iperf) ports="tcp:5201:5201 udp:5201:5201" ;;
kv) ports="tcp:6379:6379" ;;
*) ports="" ;;
esac
ports=${HOSTFWD-$ports}

# start_relay SOCKET: passes frames between $tap and SOCKET by the rules in RELAY, until QEMU ends.
start_relay() {
    local arguments ready
    read -ra arguments <<<"${RELAY:-}"
    exec 3< <(exec scripts/relay.sh "tap:$tap" "unix:$1.relay:$1" --end-with-parent \
        "${arguments[@]}")
    # What is wrong, it has said.
    read -r ready <&3 || exit 1
    exec 3<&-
    echo "$ready: between $tap and the guest, with ${RELAY:-no faults}"
}

netdev="user,id=net0,net=10.0.2.0/24"
if [[ $net != user ]]; then
    # Unlike /sys/class/net, this follows the network namespace.
    if ! grep -q "^ *$tap:" /proc/net/dev; then
        echo "error: TAP=$tap: no such device; try: ip tuntap add $tap mode tap" >&2
        exit 1
    fi
    echo "The guest is on $tap. It asks for an address by DHCP unless APPEND has net.ip=."
fi
if [[ $net == tap ]]; then
    netdev="tap,id=net0,ifname=$tap,script=no,downscript=no"
elif [[ $net == relay ]]; then
    mkdir -p target
    # QEMU leaves its socket behind.
    for old in target/qemu-[0-9]*; do
        pid=${old#target/qemu-}
        kill -0 "${pid%.relay}" 2>/dev/null || rm -f "$old"
    done
    socket=target/qemu-$$
    start_relay "$socket"
    netdev="dgram,id=net0,local.type=unix,local.path=$socket"
    netdev+=",remote.type=unix,remote.path=$socket.relay"
else
    for port in $ports; do
        IFS=: read -r protocol host guest <<<"$port"
        if [[ $protocol == tcp ]] && (: <"/dev/tcp/127.0.0.1/$host") 2>/dev/null; then
            echo "error: port $host of this machine is in use; stop what uses it, or choose" \
                "another with HOSTFWD=$protocol:PORT:$guest" >&2
            exit 1
        fi
        netdev+=",hostfwd=$protocol:127.0.0.1:$host-:$guest"
        echo "Port $guest/$protocol of the guest is 127.0.0.1:$host"
    done
    if [[ $app != echo && $ports =~ ^tcp:([0-9]+):80 ]]; then
        echo "Try: curl http://127.0.0.1:${BASH_REMATCH[1]}/"
    fi
fi

accel=(-accel "tcg,thread=${TCG_THREAD:-multi}")
# An emulated CPU's RDSEED is drawn from where virtio-rng's bytes come from: once is enough.
entropy=()
if [[ ${ACCEL:-n} == y ]]; then
    if [[ ! -w /dev/kvm ]]; then
        echo "error: ACCEL=y: /dev/kvm is missing or not writable; use ACCEL=n" >&2
        exit 1
    fi
    accel=(-accel kvm)
    entropy=(-device virtio-rng-pci)
fi

dump=()
if [[ ${NET_DUMP:-n} == y ]]; then
    dump=(-object "filter-dump,id=dump0,netdev=net0,file=target/netdump.pcap")
    # QEMU before 8.0 writes the virtio header into the capture, where tap has one.
    [[ $net != tap ]] || netdev+=",vnet_hdr=off"
    echo "Packets are captured in target/netdump.pcap"
fi

# The firmware looks for all that there is and starts what it finds, so there is no more than is
# used: no disk controllers and drives, no SMBus, no system management mode, and none of the ROMs
# of a card that boots (romfile=) and of an interrupt controller for old Windows (vapic).
machine=q35,sata=off,smbus=off,smm=off
spare=(-no-user-config -nodefaults -global apic-common.vapic=off)
# Not -nographic: under it the firmware clears the terminal first, and boots more slowly.
# QEMU_ARGS is split into words on purpose.
# shellcheck disable=SC2086
exec qemu-system-x86_64 "${spare[@]}" -machine "$machine" -cpu max "${accel[@]}" -m "$mem" \
    -smp "$smp" -kernel "$image" -append "log=$log ${APPEND:-}" \
    -display none -serial mon:stdio -vga none -no-reboot \
    -netdev "$netdev" -device virtio-net-pci,netdev=net0,romfile= \
    "${entropy[@]}" "${dump[@]}" ${QEMU_ARGS:-}
