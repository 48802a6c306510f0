# Builds Axwire's applications as unikernel images and boots them under QEMU. `make help` explains.

A ?= apps/httpd
AXNET ?= ours
ARCH ?= x86_64
MEM ?= 128M
SMP ?= 1
LOG ?= warn
NET_DEV ?= user
TAP ?= tap0
RELAY ?=
NET_DUMP ?= n
ACCEL ?= n
APPEND ?=
TIME ?= 600
SEEDS ?= 500
SEED ?=
ROUNDS ?= 3
ONLY ?=
UPDATE ?=
# For fuzzing and Miri, which stable Rust has not: any will do, one date is the same for everybody.
NIGHTLY ?= nightly-2026-04-20
# Tests that repeat something thousands of times; Miri is some thousand times slower than the machine.
MIRI_SKIP = garbage_is_harmless every_byte_arrives_once values_fall_have_a_floor \
	entries_expire_and_the_table memory_is_bounded_and_time a_flood_of_strangers \
	a_full_table_loses ranges_of_one_instant bytes_survive_wrapping \
	ten_thousand_timers a_thousand_connections both_halves_work never_more_than_allowed \
	errors_are_limited_and says_so_at_every_call what_is_taken_back_in_any_order
# Tests of tasks and their waking. By Tree Borrows: async blocks refer to themselves, for which the
# older rules of Stacked Borrows have no place. A world ends with tasks that still wait: they leak.
MIRI_NETASYNC = tasks posix halves reactor pool
export A AXNET ARCH MEM SMP LOG NET_DEV TAP RELAY NET_DUMP ACCEL APPEND

.PHONY: run image setup test bench bench-check profile bench-flows lossy fuzz miri loom sim sim-transfer clean help

run:
	@scripts/check.sh
	@scripts/setup.sh run
	@image=$$(scripts/image.sh "$(A)" "$(ARCH)" "$(SMP)" "$(LOG)") && \
		scripts/qemu.sh "$$image"

image:
	@scripts/check.sh
	@scripts/setup.sh run >&2
	@scripts/image.sh "$(A)" "$(ARCH)" "$(SMP)" "$(LOG)"

setup:
	@scripts/setup.sh test

test:
	@scripts/setup.sh test
	@scripts/test.sh

# Everything is built before the namespace cuts the internet off.
bench = cargo run --quiet -p bench -- $(1) && scripts/netns.sh cargo run --quiet -p bench -- $(2)
compare = compare --rounds "$(ROUNDS)" $(if $(ONLY),--only "$(ONLY)")
profile = profile $(if $(ONLY),--only "$(ONLY)")
check = check $(if $(filter y,$(UPDATE)),--update)

bench:
	@scripts/setup.sh bench
	@$(call bench,--prepare $(compare),$(compare))

profile:
	@scripts/setup.sh bench
	@$(call bench,--prepare $(profile),$(profile))

bench-check:
	@scripts/setup.sh bench
	@$(call bench,--prepare $(check),$(check))

bench-flows:
	@cargo run --release --quiet -p bench-flows

lossy: ONLY = lossy
lossy: bench

# No sanitizer: the stack is safe Rust, and more inputs find more. What is found goes to target/fuzz;
# the corpora in modules/netstack/fuzz are only read. Under cfg(fuzzing) smoltcp ignores checksums.
fuzz:
	@rustup toolchain install "$(NIGHTLY)" --profile minimal
	@command -v cargo-fuzz >/dev/null || cargo "+$(NIGHTLY)" install --locked cargo-fuzz
	@mkdir -p target/fuzz/frames target/fuzz/calls
	@for target in frames calls; do \
		(cd modules/netstack && cargo "+$(NIGHTLY)" fuzz run --sanitizer none --no-cfg-fuzzing \
			"$$target" "$(CURDIR)/target/fuzz/$$target" "fuzz/corpus/$$target" -- \
			-max_total_time="$(TIME)" -timeout=20 -max_len=512 \
			-artifact_prefix="$(CURDIR)/target/fuzz/$$target-") || exit; \
	done

miri:
	@rustup toolchain install "$(NIGHTLY)" --profile minimal --component miri,rust-src
	@cargo "+$(NIGHTLY)" miri test -p netstack --lib -- $(addprefix --skip ,$(MIRI_SKIP))
	@MIRIFLAGS="-Zmiri-tree-borrows -Zmiri-ignore-leaks" cargo "+$(NIGHTLY)" miri test -p netasync \
		$(addprefix --test ,$(MIRI_NETASYNC)) -- $(addprefix --skip ,$(MIRI_SKIP))

# Every order in which threads may run, of those that differ.
loom:
	@RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test --quiet -p netasync --lib

# Not in the release profile: debug assertions are oracles, too.
sim:
	@cargo run --quiet -p sim -- --seeds "$(SEEDS)" $(if $(SEED),--seed "$(SEED)")

sim-transfer:
	@cargo run --quiet -p sim --bin sim-transfer

clean:
	cargo clean

help:
	@scripts/help.sh
