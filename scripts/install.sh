#!/usr/bin/env bash
# scripts/install.sh VENV cpu|dev: make the virtual environment VENV if it is not there, and install
# the frozen requirements/cpu.txt or requirements/dev.txt into it; cpu installs ttscale itself too.
# PYTHON names the Python to use. Safe to run again: what is there already is left alone.
set -euo pipefail

venv=$1 list=$2
torch=torch==2.13.0+cpu
torch_index=https://download.pytorch.org/whl/cpu

say() { echo "install: $*" >&2; }
fail() { say "$*"; exit 1; }
pip() { "$venv/bin/python" -m pip "$@" --quiet --no-deps --disable-pip-version-check --no-input; }

suitable() { # Python 3.11 to 3.14, able to make a virtual environment
    "$1" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' \
        2>/dev/null
}

[ "$(uname -s)" = Linux ] || fail "vLLM's CPU build, on which the demo runs, is for Linux only"

if ! suitable "$venv/bin/python" || ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
    for python in "${PYTHON:-}" python3.11 python3.12 python3.13 python3.14 python3 python; do
        if [ -n "$python" ] && suitable "$python"; then break; fi
        python=
    done
    [ -n "$python" ] || fail "no Python 3.11 to 3.14 with the modules venv and ensurepip was found" \
        "(Debian: apt install python3-venv); set PYTHON to one"
    say "making $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv"
fi

if [ "$list" = cpu ]; then
    # Two requirements are source packages that setuptools builds; pinned here, with no build
    # isolation, they ask no index for a second one.
    pip install setuptools==78.1.1
    say "installing $torch"
    if ! pip install "$torch" 2>/dev/null; then
        say "the configured package index does not have it: asking PyTorch's own, $torch_index"
        pip install --index-url "$torch_index" "$torch"
    fi
fi
say "installing $(grep -c == "requirements/$list.txt") packages of requirements/$list.txt"
pip install --no-build-isolation --use-pep517 --requirement "requirements/$list.txt"
if [ "$list" = cpu ]; then
    pip install --no-build-isolation pycosat==0.6.6 >/dev/null 2>&1 ||
        say "no pycosat, which needs a C compiler: reasoning-gym's zebra_puzzles is not available"
    pip install --no-build-isolation --editable .
fi
