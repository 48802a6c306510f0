#!/usr/bin/env bash
# setup.sh [run|test|bench]: installs what is missing to build and boot images (run), and also to run
# the tests (test, the default) or the benchmark (bench). Quick if nothing is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PATH:/usr/sbin:/sbin

purpose=${1:-test}
packages=()

# want COMMAND PACKAGE: notes the package if the command is missing.
want() {
    command -v "$1" >/dev/null || packages+=("$2")
}

as_root() {
    if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

fail() {
    echo "error: $*" >&2
    exit 1
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

# Makes sure that apt knows the release's backports, by the mirror that it already uses.
add_backports() {
    local sources=(/etc/apt/sources.list /etc/apt/sources.list.d/)
    if grep -rqs "^[^#]*$1" "${sources[@]}"; then return; fi
    local mirror
    mirror=$(grep -rhoEs '(https?|mirror\+file)://?[^ ]*/debian/?( |$)' "${sources[@]}" | head -1)
    echo "setup: adding $1 to apt's sources"
    echo "deb ${mirror:-http://deb.debian.org/debian} $1 main" |
        as_root tee /etc/apt/sources.list.d/axwire-backports.list >/dev/null
    as_root apt-get update
}

is_debian() {
    grep -qs '^ID=debian$' /etc/os-release
}

# Debian's own QEMU cannot be installed beside the tools of a backported one.
install_qemu() {
    if apt_install qemu-system-x86; then return; fi
    local ID="" VERSION_CODENAME=""
    # shellcheck source=/dev/null
    source /etc/os-release
    [[ $ID == debian ]] || fail "apt-get cannot install qemu-system-x86; see above"
    local backports=$VERSION_CODENAME-backports
    echo "setup: trying qemu-system-x86 from $backports"
    add_backports "$backports"
    apt_install -t "$backports" qemu-system-x86
}

install_packages() {
    command -v apt-get >/dev/null ||
        fail "please install (by their Debian names): ${packages[*]}"
    ((EUID == 0)) || command -v sudo >/dev/null ||
        fail "please install as root: apt-get install ${packages[*]}"
    echo "setup: installing ${packages[*]}"
    as_root apt-get update
    local others=()
    for package in "${packages[@]}"; do
        if [[ $package == qemu-system-x86 ]]; then install_qemu; else others+=("$package"); fi
    done
    ((${#others[@]} == 0)) || apt_install "${others[@]}"
}

install_rustup() {
    if ! command -v apt-get >/dev/null || [[ -z $(apt-cache search --names-only '^rustup$') ]]; then
        fail "rustup is missing; install it as https://rustup.rs says, then run this again"
    fi
    packages=(rustup)
    install_packages
}

# What the toolchain file asks for, installed with its toolchain if any of it is missing.
install_rust() {
    local channel installed
    channel=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
    local args=(--target x86_64-unknown-none)
    local wanted="rust-std-x86_64-unknown-none"
    if [[ $purpose == test ]]; then
        args+=(--component clippy --component rustfmt)
        wanted+=" clippy rustfmt"
    elif [[ $purpose == bench ]]; then
        args+=(--target x86_64-unknown-linux-musl)
        wanted+=" rust-std-x86_64-unknown-linux-musl"
    fi
    installed=$(rustup component list --toolchain "$channel" --installed 2>/dev/null || true)
    for component in $wanted; do
        if ! grep -q "^$component" <<<"$installed"; then
            echo "setup: installing Rust $channel with: $wanted"
            rustup toolchain install "$channel" --profile minimal "${args[@]}"
            return
        fi
    done
}

[[ $purpose =~ ^(run|test|bench)$ ]] || fail "setup.sh $purpose: must be run, test or bench"
want qemu-system-x86_64 qemu-system-x86
want cc build-essential
[[ -e /etc/ssl/certs ]] || packages+=(ca-certificates)
if [[ $purpose == test ]]; then
    want curl curl
    want nc netcat-openbsd
    want tcpdump tcpdump
    want ip iproute2
    want ping iputils-ping
    want unshare util-linux
    want ps procps
    want mosquitto mosquitto
    want openssl openssl
    want iperf3 iperf3
    want redis-cli redis-tools
    # Where it is no package, the browser's test is left out.
    if is_debian; then want chromium-headless-shell chromium-headless-shell; fi
fi
if [[ $purpose == bench ]]; then
    want wrk wrk
    want iperf3 iperf3
    want redis-benchmark redis-tools
    want ip iproute2
    want unshare util-linux
    want xz xz-utils
fi
((${#packages[@]} == 0)) || install_packages
# A rustup that was just installed by hand may not be on the path yet.
export PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
command -v rustup >/dev/null || install_rustup
install_rust
