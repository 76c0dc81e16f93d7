#!/bin/sh
# Builds shapes_a32.so and shapes_t32.so from functions.c (two compilers, several levels), with
# exception tables and without call frame information.
# Needs: clang-19 lld-19 gcc-12-arm-linux-gnueabihf. The results are committed, so that tests need
# none of them.
set -e
cd "$(dirname "$0")"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
gcc=${ARM_GCC:-arm-linux-gnueabihf-gcc-12}
flags="-ffreestanding -funwind-tables -fno-stack-protector -fno-builtin -fno-ident -fPIC -w -c"
cat > "$out/rest.c" <<'END'
volatile long long g_sink;
__attribute__((noreturn)) long long asm_halt(long long a, long long b) { __builtin_trap(); }
/* What the compilers call to convert numbers; nobody looks at the results. */
long long __aeabi_d2lz(long long a) { return a >> 40; }
long long __aeabi_l2d(long long a) { return a << 40; }
void __aeabi_unwind_cpp_pr0(void) {}
void __aeabi_unwind_cpp_pr1(void) {}
END
build() { # name, options
    clang="clang-19 --target=armv7a-linux-gnueabihf -mfpu=neon $2 $flags"
    for level in 0 2 s; do
        $clang -O$level -fdeclspec -DPREFIX=clang_O$level functions.c -o "$out/$1c$level.o"
        $gcc $2 -march=armv7-a -mfpu=neon -O$level "-D__declspec(x)=" -DPREFIX=gcc_O$level $flags \
            functions.c -o "$out/$1g$level.o"
    done
    $clang -O2 -fdeclspec -fno-omit-frame-pointer -DPREFIX=clang_fp functions.c -o "$out/$1cfp.o"
    $gcc $2 -march=armv7-a -mfpu=neon -O2 -fno-omit-frame-pointer "-D__declspec(x)=" \
        -DPREFIX=gcc_fp $flags functions.c -o "$out/$1gfp.o"
    $clang -O2 "$out/rest.c" -o "$out/$1rest.o"
    ld.lld-19 -shared -Bsymbolic --build-id=none -z noseparate-code --strip-debug \
        "$out/$1"*.o -o "shapes_$1.so"
}
build a32 -marm
build t32 -mthumb
ls -l shapes_a32.so shapes_t32.so
