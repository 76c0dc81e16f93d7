#!/bin/sh
# Builds shapes_arm64.so and shapes_x86.so from functions.c (several levels).
# Needs: clang-19 lld-19 gcc. The results are committed, so that tests need none of them.
# x86 by gcc: clang 19 lets the rules of pushed arguments begin an instruction late there.
set -e
cd "$(dirname "$0")"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
flags="-ffreestanding -fasynchronous-unwind-tables -fno-stack-protector -fno-builtin -fno-ident"
flags="$flags -fPIC -w -c"
cat > "$out/rest.c" <<'END'
volatile long long g_sink;
__attribute__((noreturn)) long long asm_halt(long long a, long long b) { __builtin_trap(); }
END
build() { # name compiler prefix options, options with a frame pointer
    for level in 0 2 s; do
        $2 -O$level -DPREFIX=$3_O$level $flags $4 functions.c -o "$out/$1$level.o"
    done
    $2 -O2 -fno-omit-frame-pointer -DPREFIX=$3_fp $flags $5 functions.c -o "$out/$1fp.o"
    $2 -O2 $flags "$out/rest.c" -o "$out/$1rest.o"
    ld.lld-19 -shared -Bsymbolic --eh-frame-hdr --build-id=none -z noseparate-code --strip-debug \
        "$out/$1"*.o -o "shapes_$1.so"
}
build arm64 "clang-19 --target=aarch64-linux-gnu -fdeclspec" clang \
    -mbranch-protection=pac-ret -mbranch-protection=pac-ret+leaf+b-key
build x86 "gcc -m32 -D__declspec(x)=" gcc "" ""
ls -l shapes_arm64.so shapes_x86.so
