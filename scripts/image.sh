#!/usr/bin/env bash
# image.sh APP ARCH SMP LOG: builds the image of an application (apps/httpd or httpd; ../hello or
# another path for one outside of the repository, in a folder of the application's name).
# The last line of its output is the image's path, relative to the root of the repository.
# With LINT=y it runs Clippy instead.
#
# A program for upstream's ArceOS (apps/threads) is built with our axnet in the place of upstream's, or,
# with AXNET=upstream, as it is.
set -euo pipefail
cd "$(dirname "$0")/.."

app=${1##*/} arch=${2:-x86_64} smp=${3:-1} log=${4:-warn} axnet=${AXNET:-ours}
manifest=Cargo.toml image=$app-$arch options=() variant="" is_outside=""
if [[ $1 == /* || $1 == ../* ]]; then
    is_outside=y
# A program for upstream's ArceOS has a workspace of its own.
elif [[ -f apps/$app/Cargo.lock ]]; then
    variant=-$axnet
fi
# shellcheck source=scripts/env.sh
source scripts/env.sh

if [[ -n $is_outside ]]; then
    manifest=$1/Cargo.toml
    workspace=$(cargo locate-project --workspace --message-format plain --manifest-path "$manifest")
    lock=${workspace%/*}/Cargo.lock
    # What is known to work together; Cargo leaves out what is not needed.
    [[ -f $lock ]] || cp Cargo.lock "$lock"
    # As our own are built.
    for setting in 'panic="abort"' 'lto="fat"' codegen-units=1; do
        options+=(--config "profile.release.$setting")
    done
    ((smp == 1)) || options+=(--features axwire/smp)
elif [[ -n $variant ]]; then
    # Built beside its folder: Cargo would rewrite the lock file, which differs with the patch.
    manifest=$CARGO_TARGET_DIR/programs/$app/Cargo.toml
    mkdir -p "${manifest%/*}"
    cp -pr "apps/$app/Cargo.toml" "apps/$app/src" "${manifest%/*}"
    lock=apps/$app/Cargo.lock
    if [[ $axnet == ours ]]; then
        lock=apps/$app/Cargo-ours.lock
        options+=(--config "patch.crates-io.axnet.path=\"$PWD/modules/axnet\"")
    else
        image=$app-upstream-$arch
        # It has no other way to learn its address.
        export AX_IP=${AX_IP:-10.0.2.15} AX_GW=${AX_GW:-10.0.2.2}
    fi
    cp -p "$lock" "${manifest%/*}/Cargo.lock"
    ((smp == 1)) || options+=(--features smp)
    # With KEEP_LOCK=y the lock file is brought up to date and kept.
    [[ -n ${KEEP_LOCK:-} ]] || options+=(--locked)
elif ((smp > 1)); then
    options=(-p axwire --features axwire/smp)
fi
options+=(--target "$AX_TARGET" --manifest-path "$manifest" -p "$app")
if [[ -n ${LINT:-} ]]; then
    exec cargo clippy "${options[@]}" -- -D warnings
fi
cargo build --release "${options[@]}" >&2
[[ -z $variant || -z ${KEEP_LOCK:-} ]] || cp "${manifest%/*}/Cargo.lock" "$lock"

mkdir -p target/images
image=target/images/$image
# By rename, so that an image in use is never half written.
cp "$CARGO_TARGET_DIR/$AX_TARGET/release/$app" "$image.$$"
mv "$image.$$" "$image"
echo "$image"
