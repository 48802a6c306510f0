# Builds Axwire's applications as unikernel images and boots them under QEMU. `make help` explains.

A ?= apps/httpd
ARCH ?= x86_64
MEM ?= 128M
SMP ?= 1
LOG ?= warn
NET_DEV ?= user
TAP ?= tap0
NET_DUMP ?= n
ACCEL ?= n
APPEND ?=
export A ARCH MEM SMP LOG NET_DEV TAP NET_DUMP ACCEL APPEND

.PHONY: run image setup test clean help

run:
	@scripts/check.sh
	@scripts/setup.sh run
	@scripts/image.sh "$(A)" "$(ARCH)" "$(SMP)" "$(LOG)" >/dev/null
	@scripts/qemu.sh "target/images/$(notdir $(A))-$(ARCH)"

image:
	@scripts/check.sh
	@scripts/setup.sh run >&2
	@scripts/image.sh "$(A)" "$(ARCH)" "$(SMP)" "$(LOG)"

setup:
	@scripts/setup.sh test

test:
	@scripts/setup.sh test
	@scripts/test.sh

clean:
	cargo clean

help:
	@scripts/help.sh
