#!/bin/sh
# Builds shapes32.dll and its PDB from functions.c (two targets, several levels) and shapes32.s.
# Needs: clang-19 lld-19. The results are committed, so that tests need none.
set -e
cd "$(dirname "$0")"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
flags="-ffreestanding -fno-stack-protector -fno-builtin -fno-ident -w -g -gcodeview -c"
for level in 0 2 s; do
    clang-19 --target=i686-pc-windows-msvc -O$level -DPREFIX=msvc_O$level $flags functions.c -o "$out/msvc$level.o"
done
clang-19 --target=i686-pc-windows-msvc -O2 -fno-omit-frame-pointer -DPREFIX=msvc_fp $flags functions.c -o "$out/msvcfp.o"
clang-19 --target=i686-pc-windows-msvc -O1 -mstackrealign -DPREFIX=msvc_align $flags functions.c -o "$out/msvcalign.o"
clang-19 --target=i686-pc-windows-msvc -c shapes32.s -o "$out/shapes.o"
lld-link-19 /dll /noentry /nodefaultlib /machine:x86 /safeseh:no /Brepro /base:0x10000000 /debug \
    /pdbaltpath:shapes32.pdb /alternatename:__fltused=_g_sink /out:shapes32.dll /pdb:shapes32.pdb "$out"/*.o
rm -f shapes32.lib
ls -l shapes32.dll shapes32.pdb
