#!/usr/bin/env bash
# Runs every check and test, goes on after a failure, and ends with one line: N passed, N failed.
set -euo pipefail
cd "$(dirname "$0")/.."

output=$(mktemp)
trap 'rm -f "$output"' EXIT
failed=()

# stage TITLE CMD...: runs a command under a heading and notes whether it failed.
stage() {
    local title=$1
    shift
    printf '\n==== %s ====\n' "$title"
    if ! "$@" 2>&1 | tee -a "$output"; then
        failed+=("$title")
    fi
}

# Runs a cargo command for the target.
on_target() (
    export arch=x86_64 smp=1 log=warn
    # shellcheck source=scripts/env.sh
    source scripts/env.sh
    export CARGO_BUILD_TARGET=$AX_TARGET
    "$@"
)

target_packages=(-p axnet -p qemu-x86_64)
# Programs for upstream's ArceOS: each has a workspace of its own.
programs=()
for app in apps/*/; do
    if [[ -f $app/Cargo.lock ]]; then
        programs+=("$(basename "$app")")
    else
        target_packages+=(-p "$(basename "$app")")
    fi
done

format() {
    cargo fmt --all --check || return
    for program in "${programs[@]}"; do
        cargo fmt --manifest-path "apps/$program/Cargo.toml" --check || return
    done
}

clippy_target() {
    on_target cargo clippy "${target_packages[@]}" -- -D warnings || return
    for program in "${programs[@]}"; do
        LINT=y scripts/image.sh "$program" || return
    done
}

docs() {
    export RUSTDOCFLAGS="-D warnings"
    cargo doc --workspace --no-deps &&
        on_target cargo doc --no-deps -p axnet -p qemu-x86_64
}

# With our network, with upstream's, and for two processors, as the tests have them.
build_programs() {
    local program
    for program in "${programs[@]}"; do
        scripts/image.sh "$program" && AXNET=upstream scripts/image.sh "$program" || return
    done
    scripts/image.sh threads x86_64 2
}

# Everything that needs the internet happens before the namespace cuts it off. The tests take turns:
# they share the tap device and the host's address on it.
end_to_end() {
    cargo fetch &&
        build_programs &&
        cargo build -p relay &&
        cargo test -p e2e --no-run &&
        RUST_TEST_THREADS=1 scripts/netns.sh cargo test -p e2e
}

stage "Format" format
stage "Tidy" cargo run --quiet -p tidy
stage "Clippy, host" cargo clippy --workspace --all-targets -- -D warnings
stage "Clippy, target" clippy_target
stage "Unit tests" cargo test --workspace --exclude e2e --no-fail-fast
stage "Models" make loom
stage "Simulation" cargo run --quiet -p sim -- --seeds 500
stage "Documentation" docs
stage "End-to-end tests" end_to_end

echo
if ((${#failed[@]} > 0)); then
    printf 'FAILED: %s\n' "${failed[@]}"
fi
awk '/^test result:/ { passed += $4; failed += $6 }
     END { printf "%d passed, %d failed\n", passed, failed }' "$output"
((${#failed[@]} == 0))
