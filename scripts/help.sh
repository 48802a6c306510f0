#!/usr/bin/env bash
# Explains the Makefile's targets and variables.
set -euo pipefail
cat <<'TEXT'
make [run]   build the application A and boot it under QEMU (leave with Ctrl-A X)
make image   build it; the last line printed is the image's path
make setup   install what building and testing need
make test    run every check and test
make sim     simulate hosts on faulty networks: SEEDS=500 scenarios, or SEED=n alone
make clean   remove everything that was built

make sim-transfer  long streams over a lossy link, in virtual time: how fast they are
make bench         measure images beside upstream's axnet, a Linux guest and the host
                   (target/bench/report.md); ROUNDS=1 ONLY=http,http-new,echo,idle,bulk,lossy,iperf,
                   kv,start,instructions for less
make lossy         only streams over a lossy relay, beside a Linux guest: make bench ONLY=lossy
make profile       where our instructions go, function by function (target/profile/);
                   ONLY=http-1,http-16,http-new-1,http-new-16,tcp-echo,udp-echo,bulk-receive,bulk-send
make bench-check   count instructions per operation and compare with scripts/bench/baseline.json;
                   UPDATE=y writes it anew
make bench-flows   measure what a packet costs among many connections (target/bench/flows.md)
make fuzz TIME=600 run each fuzz target of netstack for that many seconds
make miri          run netstack's unit tests, and netasync's of tasks, under Miri
make loom          check netasync's waking in every order of its threads, with loom

A=apps/httpd    the application, a folder in apps/, or one elsewhere: A=../hello, A=$PWD/hello
AXNET=ours      for programs of upstream's ArceOS (apps/threads): ours or upstream
ARCH=x86_64     the architecture (x86_64)
MEM=128M        the guest's memory
SMP=1           the guest's number of CPUs
LOG=warn        off, error, warn, info, debug or trace
NET_DEV=user    user (QEMU's own network, ports forwarded to 127.0.0.1), tap, or relay (tap, with
                faults on the way)
TAP=tap0        the host's tap device, for NET_DEV=tap and NET_DEV=relay
RELAY=          the faults, for NET_DEV=relay, such as RELAY="--loss 2% --rtt 20ms --rate 100Mbit";
                scripts/relay.sh --help explains them
NET_DUMP=n      y: capture the guest's packets in target/netdump.pcap
ACCEL=n         y: use KVM
APPEND=         more of the kernel command line, as in
                APPEND="net.ip=10.0.2.15/24 net.gw=10.0.2.2 net.dns=10.0.2.3"

From the environment, scripts/qemu.sh also takes HOSTFWD="tcp:8080:80 ..." (ports to forward) and
QEMU_ARGS (more options for QEMU).
TEXT
