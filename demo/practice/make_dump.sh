#!/bin/sh
# Runs practice.exe under Wine in the folder that build.sh filled (same default); Wine's
# dbghelp.dll writes practice.dmp there.
# Needs: wine (Debian 12: wine, wine64). Any other Windows gives a dump of the same crash.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$(cd "${1:-$here/../../src/polydbg/demo}" && pwd)
prefix=$(mktemp -d)

# A bare environment, an own prefix and a neutral folder: a dump quotes what it finds.
run_wine() {
    env -i PATH=/usr/bin:/bin HOME=/nonexistent WINEPREFIX="$prefix" WINEDEBUG=-all \
        LANG=C.UTF-8 USER=practice timeout 120 "$@"
}
cleanup() {
    run_wine wineserver -k >/dev/null 2>&1 || true
    rm -rf "$prefix"
}
trap cleanup EXIT

run_wine wine wineboot -i >/dev/null 2>&1 || true
stage=$prefix/drive_c/practice
mkdir -p "$stage"
cp "$out/practice.exe" "$out/practice.pdb" "$stage"
(cd "$stage" && run_wine wine 'C:\practice\practice.exe' 'C:\practice\practice.dmp') || true
test -s "$stage/practice.dmp"
cp "$stage/practice.dmp" "$out"
ls -l "$out"
