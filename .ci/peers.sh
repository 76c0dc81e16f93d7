#!/usr/bin/env bash
# Installs the programs of others that tests compare with, where they are absent (Debian).
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A package_of=(
    [lldb-19]=lldb-19
    [llvm-pdbutil-19]=llvm-19
    [clang++-19]=clang-19
    [lld-link-19]=lld-19
    [x86_64-w64-mingw32-g++]=mingw-w64
    [make]=make
    [gdb]=gdb
    [gcc]=gcc
    [g++]=g++
    [rustc]=rustc
    [debuginfod]=debuginfod
    [tinyproxy]=tinyproxy
)

missing=()
for program in "${!package_of[@]}"; do
    command -v "$program" >/dev/null || missing+=("${package_of[$program]}")
done
[ -d /usr/include/boost ] || missing+=(libboost-dev)
[ -d /usr/include/eigen3 ] || missing+=(libeigen3-dev)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)

# Breakpad's minidump_stackwalk, which an npm package carries built for Linux x64.
npm=benchmarks/.cache/npm
walker=$npm/node_modules/minidump/bin/linux-x64/minidump_stackwalk
walker_missing=
if [ ! -x "$walker" ] && ! command -v minidump_stackwalk >/dev/null; then
    walker_missing=1
    command -v npm >/dev/null || missing+=(npm)
fi

if [ "${#missing[@]}" -gt 0 ]; then
    echo "installing: ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${missing[@]}" >/dev/null
fi

if [ -n "$walker_missing" ]; then
    npm install --silent --ignore-scripts --prefix "$npm" minidump@0.26.0 >/dev/null
fi
