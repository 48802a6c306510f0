#!/usr/bin/env bash
# Checks the Makefile's variables, so that a wrong value is named before anything is built.
set -euo pipefail
cd "$(dirname "$0")/.."

# check NAME PATTERN ALLOWED: the variable NAME must match the extended regular expression PATTERN.
check() {
    if ! [[ ${!1} =~ ^($2)$ ]]; then
        echo "error: $1=${!1} is not allowed; $1 must be $3" >&2
        exit 1
    fi
}

check ARCH 'x86_64' 'x86_64'
check MEM '[1-9][0-9]*[MG]' 'a size such as 128M or 2G'
check SMP '[1-9][0-9]?' 'a number of CPUs from 1 to 99'
check LOG 'off|error|warn|info|debug|trace' 'off, error, warn, info, debug or trace'
check NET_DEV 'user|tap|relay' 'user, tap or relay'
check TAP '[A-Za-z0-9_.-]{1,15}' 'the name of a network interface'
check NET_DUMP 'y|n' 'y or n'
[[ -z ${AXNET:-} ]] || check AXNET 'ours|upstream' 'ours or upstream'
check ACCEL 'y|n' 'y or n'

if ! [[ $A =~ ^(apps|/.*|\.\./.*|\.\.)/[a-z0-9_-]+$ && -f $A/Cargo.toml ]]; then
    echo "error: A=$A is not an application; A must be a folder elsewhere or one of:" apps/* >&2
    exit 1
fi
