#!/usr/bin/env bash
# relay.sh ARGS...: builds and becomes the relay that loses and delays frames; --help explains it.
set -euo pipefail
manifest=$(dirname "$0")/relay/Cargo.toml
exec cargo run --quiet --manifest-path "$manifest" -- "$@"
