#!/usr/bin/env bash
# Builds the practice container: the program, an image as `docker save` writes it, and the core of
# its crash. Needs gcc, binutils, python3, and a kernel whose core_pattern is a plain file name.
# usage: build.sh [FOLDER]    default: the package's demo/container, where kiosk.c is too
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
package=$(cd "$here/../../src/polydbg/demo/container" && pwd)
out=$(mkdir -p "${1:-$package}" && cd "${1:-$package}" && pwd)
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
cd "$stage"

gcc -std=c11 -O2 -g -gdwarf-5 -ffreestanding -fno-stack-protector -static -no-pie -nostdlib \
    -fno-builtin -ffile-prefix-map="$package=/build" -Wl,--build-id -Wl,-z,noseparate-code \
    "$package/kiosk.c" -o kiosk
mkdir -p "$out/symbols"
objcopy --only-keep-debug kiosk "$out/symbols/kiosk.debug"
strip -s kiosk
(cd "$out/symbols" && objcopy --add-gnu-debuglink=kiosk.debug "$stage/kiosk")

# The core: of a process whose program is /app/kiosk, as inside of the container.
mkdir -p /app
cp kiosk /app/kiosk
(ulimit -c unlimited; cd "$stage" && env -i HALL=1 /app/kiosk --rows 3) || true
rm -rf /app
cp core* "$out/core.7"
chmod 644 "$out/core.7"

python3 "$here/make_image.py" kiosk "$out/image.tar"
ls -l "$out"
