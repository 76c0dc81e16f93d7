#!/bin/sh
# venv.sh VENV WHAT: makes the virtual environment VENV if it is missing and installs WHAT
# ("." or ".[dev]", editable) into it. Python is $PYTHON, or the first one that is new enough.
set -eu
venv=$1
what=$2

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        new_enough "$PYTHON" && echo "$PYTHON"
        return 0
    fi
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if new_enough "$candidate"; then
            echo "$candidate"
            return 0
        fi
    done
}

fail() {
    echo "polydbg: $1" >&2
    exit 1
}

if ! new_enough "$venv/bin/python"; then
    python=$(find_python)
    if [ -z "$python" ]; then
        if [ -n "${PYTHON:-}" ]; then
            fail "PYTHON=$PYTHON is not Python 3.11 or newer"
        fi
        found=$(python3 --version 2>/dev/null || echo 'no python3')
        fail "needs Python 3.11 or newer, found $found (name another one with PYTHON=...)"
    fi
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        fail "$python cannot make virtual environments; on Debian: apt-get install python$version-venv"
    fi
    echo "polydbg: making $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv"
fi

echo "polydbg: installing into $venv"
if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e "$what"; then
    fail "pip could not install polydbg and what it needs (its message is above)"
fi
