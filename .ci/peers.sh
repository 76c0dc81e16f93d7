#!/usr/bin/env bash
# Installs the programs of others that tests compare with, where they are absent (Debian).
set -euo pipefail

declare -A package_of=(
    [lldb-19]=lldb-19
    [llvm-pdbutil-19]=llvm-19
    [clang++-19]=clang-19
    [lld-link-19]=lld-19
    [x86_64-w64-mingw32-g++]=mingw-w64
    [make]=make
)

missing=()
for program in "${!package_of[@]}"; do
    command -v "$program" >/dev/null || missing+=("${package_of[$program]}")
done
[ -d /usr/include/boost ] || missing+=(libboost-dev)
[ -d /usr/include/eigen3 ] || missing+=(libeigen3-dev)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)

if [ "${#missing[@]}" -gt 0 ]; then
    echo "installing: ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${missing[@]}" >/dev/null
fi
