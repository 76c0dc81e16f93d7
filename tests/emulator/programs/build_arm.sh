#!/bin/sh
# Builds shapes_arm64.dll and shapes_thumb.dll from functions.c (several levels) and assembly.
# Needs: clang-19 lld-19. The results are committed, so that tests need neither.
set -e
cd "$(dirname "$0")"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
flags="-ffreestanding -fasynchronous-unwind-tables -fno-stack-protector -fno-builtin -fno-ident -w -c"
build() { # name target machine base
    for level in 0 2 s; do
        clang-19 --target="$2" -O$level -DPREFIX=clang_O$level $flags functions.c -o "$out/$1$level.o"
    done
    clang-19 --target="$2" -O2 -fno-omit-frame-pointer -DPREFIX=clang_fp $flags $5 functions.c \
        -o "$out/$1fp.o"
    clang-19 --target="$2" -c "shapes_$1.s" -o "$out/$1s.o"
    lld-link-19 /dll /noentry /nodefaultlib /machine:"$3" /Brepro /base:"$4" \
        /alternatename:_fltused=g_sink "/out:shapes_$1.dll" "$out/$1"*.o
    rm -f "shapes_$1.lib"
}
build arm64 aarch64-pc-windows-msvc arm64 0x180000000 -mbranch-protection=pac-ret
[ -f shapes_thumb.s ] && build thumb thumbv7-pc-windows-msvc arm 0x10000000
ls -l shapes_arm64.dll shapes_thumb.dll
