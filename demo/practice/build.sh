#!/bin/sh
# Builds practice.exe and practice.pdb into the folder given (default: the package's demo
# folder, where orders.c is too).
# Needs: clang-19 lld-19 llvm-19 mingw-w64 python3 (Debian 12). The same tools give the same bytes.
# A dump belongs to the binaries it was made with: after a build, make the dump again.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
package=$here/../../src/polydbg/demo
mkdir -p "${1:-$package}"
out=$(cd "${1:-$package}" && pwd)
target=--target=x86_64-w64-windows-gnu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The PDB names the sources C:\practice\..., whatever folder this is.
cp "$package/orders.c" "$here/crash_dump.c" "$here/crash_dump.h" "$work"
cd "$work"
for unit in orders crash_dump; do
    clang-19 $target -O1 -g -gcodeview -gno-codeview-command-line -Wall -Wextra \
        -fdebug-compilation-dir=. -c "$unit.c" -o "$unit.o"
done
clang-19 $target orders.o crash_dump.o -o practice.exe -fuse-ld=lld-19 \
    -Wl,--pdb=practice.pdb -Wl,-Xlink=-timestamp:1795500000 \
    -Wl,-Xlink=-pdbaltpath:%_PDB% '-Wl,-Xlink=-pdbsourcepath:C:\practice'
# The C runtime's objects bring DWARF along, which nobody reads here.
llvm-strip-19 --strip-all practice.exe
python3 "$here/set_checksum.py" practice.exe
chmod 644 practice.exe
cp practice.exe practice.pdb "$out"
ls -l "$out"
