#!/usr/bin/env bash
# image.sh APP ARCH SMP LOG: builds the image of an application (apps/httpd or httpd).
# The last line of its output is the image's path, relative to the root of the repository.
set -euo pipefail
cd "$(dirname "$0")/.."

app=${1##*/} arch=${2:-x86_64} smp=${3:-1} log=${4:-warn}
# shellcheck source=scripts/env.sh
source scripts/env.sh

features=()
if ((smp > 1)); then
    features=(-p axnet --features axnet/smp)
fi
cargo build --release --target "$AX_TARGET" -p "$app" "${features[@]}" >&2

image=target/images/$app-$arch
mkdir -p target/images
# By rename, so that an image in use is never half written.
cp "$CARGO_TARGET_DIR/$AX_TARGET/release/$app" "$image.$$"
mv "$image.$$" "$image"
echo "$image"
