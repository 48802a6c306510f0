# Sourced: the environment in which the target's crates build. Needs $arch, $smp and $log; $variant,
# if set, sets programs for upstream's crates apart.
# shellcheck shell=bash
# shellcheck disable=SC2154

# The kernel crates use unstable features, on the stable compiler that they are pinned to.
export RUSTC_BOOTSTRAP=1
export AX_ARCH=$arch AX_LOG=$log AX_MODE=release

case $arch in
x86_64)
    platform=qemu-x86_64
    export AX_TARGET=x86_64-unknown-none AX_PLATFORM=x86-pc
    ;;
*)
    echo "error: no platform for ARCH=$arch" >&2
    exit 1
    ;;
esac

# A folder of its own for each number of CPUs, because nearly every crate depends on it.
export CARGO_TARGET_DIR=$PWD/target/arceos/$arch-smp$smp${variant:-}
export AX_CONFIG_PATH=$CARGO_TARGET_DIR/axconfig.toml

mkdir -p "$CARGO_TARGET_DIR"
config=$(sed "s/^max-cpu-num = [0-9]*/max-cpu-num = $smp/" "platforms/$platform/axconfig.toml")
# Upstream's drivers look for cards in a window of memory, where q35 has one.
[[ -z ${variant:-} ]] || config=${config/mmio-ranges = \[/&
    [0xb000_0000, 0x1000_0000], # PCI configuration space}
# Untouched unless it changes: its age decides whether everything is rebuilt.
if [[ ! -f $AX_CONFIG_PATH || $config != "$(<"$AX_CONFIG_PATH")" ]]; then
    printf '%s\n' "$config" >"$AX_CONFIG_PATH"
fi

# The build script of `axhal` writes the linker script before anything is linked.
linker_script=$CARGO_TARGET_DIR/$AX_TARGET/release/linker_$AX_PLATFORM.lds
export RUSTFLAGS="-C link-arg=-T$linker_script -C link-arg=-no-pie -C link-arg=-znostart-stop-gc"
