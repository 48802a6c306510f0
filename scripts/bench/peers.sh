#!/usr/bin/env bash
# peers.sh upstream|linux: prepares what images are measured beside, in target/bench.
#
# upstream: images of scripts/bench/upstream, in target/bench/upstream.
# linux: Debian's kernel for virtual machines and the drivers that it needs, in target/bench/linux;
# downloaded and unpacked, not installed.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=target/bench/$1

upstream() (
    export arch=x86_64 smp=1 log=warn variant=-upstream
    # It has no other way to learn its address.
    export AX_IP=10.0.2.15 AX_GW=10.0.2.2
    # shellcheck source=scripts/env.sh
    source scripts/env.sh
    # Built elsewhere: Cargo would lay its folder beside the sources.
    cargo build --release --locked --target "$AX_TARGET" \
        --manifest-path scripts/bench/upstream/Cargo.toml --bins
    mkdir -p "$out"
    for program in scripts/bench/upstream/src/bin/*.rs; do
        program=$(basename "$program" .rs)
        cp "$CARGO_TARGET_DIR/$AX_TARGET/release/$program" "$out/$program"
    done
)

# In the order in which they are loaded. Some releases have some of them built in.
drivers=(virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci failover
    net_failover virtio_net)

linux() {
    local meta=linux-image-cloud-amd64 package unpacked file number=10
    # The package of that name only depends on the newest kernel.
    package=$(apt-cache depends "$meta" 2>/dev/null |
        sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -1)
    if [[ -z $package ]]; then
        echo "error: apt knows no $meta; the Linux guest needs Debian's (apt-get update?)" >&2
        exit 1
    fi
    if [[ -f $out/$package ]]; then return; fi
    rm -rf "$out"
    mkdir -p "$out/download" "$out/drivers"
    (cd "$out/download" && apt-get download "$package")
    unpacked=$out/unpacked
    dpkg-deb -x "$out"/download/*.deb "$unpacked"
    cp "$unpacked"/boot/vmlinuz-* "$out/vmlinuz"
    for driver in "${drivers[@]}"; do
        file=$(find "$unpacked" -name "$driver.ko*")
        if [[ -z $file ]]; then continue; fi
        cp "$file" "$out/drivers/$number-${file##*/}"
        number=$((number + 1))
    done
    # Newer releases compress them.
    find "$out/drivers" -name '*.xz' -exec xz -d {} +
    rm -r "$out/download" "$unpacked"
    touch "$out/$package"
}

"$1"
