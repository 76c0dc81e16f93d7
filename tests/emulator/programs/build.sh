#!/bin/sh
# Builds shapes.dll from functions.c (several compilers and levels) and shapes.s (by hand).
# Needs: clang-19 lld-19 gcc-mingw-w64-x86-64. The result is committed, so that tests need none.
set -e
cd "$(dirname "$0")"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
flags="-ffreestanding -fasynchronous-unwind-tables -fno-stack-protector -fno-builtin -fno-ident -w -c"
for level in 0 2 s; do
    clang-19 --target=x86_64-w64-windows-gnu -O$level -DPREFIX=clang_O$level $flags functions.c -o "$out/clang$level.o"
    x86_64-w64-mingw32-gcc -O$level -DPREFIX=gcc_O$level $flags functions.c -o "$out/gcc$level.o"
done
clang-19 --target=x86_64-pc-windows-msvc -O2 -DPREFIX=msvc_O2 $flags functions.c -o "$out/msvc.o"
x86_64-w64-mingw32-gcc -O2 -fno-omit-frame-pointer -DPREFIX=gcc_fp $flags functions.c -o "$out/gccfp.o"
clang-19 --target=x86_64-w64-windows-gnu -c shapes.s -o "$out/shapes.o"
# The MSVC target calls its probe __chkstk, and marks code with floating point by _fltused.
lld-link-19 /dll /noentry /nodefaultlib /machine:x64 /Brepro /base:0x180000000 \
    /alternatename:__chkstk=___chkstk_ms /alternatename:_fltused=g_sink /out:shapes.dll "$out"/*.o
rm -f shapes.lib
ls -l shapes.dll
