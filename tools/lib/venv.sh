# Sourced by tools/demo and tools/test from the top of the checkout: makes .venv and installs into it.

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

# Prints the first Python on PATH that is new enough. A name may be there and still not run, so each is tried.
find_python() {
    local name version found=""
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        version=$("$name" -c 'import platform; print(platform.python_version())' 2>/dev/null) || continue
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
        found=" (there is $version)"
    done
    fail "Python 3.11 or newer is needed, and none is on PATH$found." \
        "On Debian 12, Ubuntu 24.04 or newer: sudo apt install python3 python3-venv"
}

make_venv() {
    if .venv/bin/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        return
    fi
    local python version
    python=$(find_python) || exit 1
    if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        fail "$python has no venv or no ensurepip, which Debian and Ubuntu package apart." \
            "Install them, then run this again: sudo apt install python3-venv   (or python$version-venv)"
    fi
    echo "Making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv || fail "$python could not make .venv; its message stands above."
}

# install EXTRAS: this checkout, editable, with these extras, unless that was done with this very pyproject.toml.
install() {
    local extras=$1 stamp log=.venv/install.log state
    make_venv
    stamp=.venv/installed-${extras//,/-}
    state=$(sha256sum pyproject.toml)$PWD
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$state" ]; then
        return
    fi
    echo "Installing rtlstm[$extras] into .venv (its log: $log)"
    if ! .venv/bin/python -m pip --disable-pip-version-check install -e ".[$extras]" >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        fail "" "The installation failed; the whole log is $log. Is the network there?"
    fi
    printf '%s' "$state" >"$stamp"
}

# .venv-oldest: this checkout with the lowest version of every dependency that pyproject.toml allows.
install_oldest() {
    local python state stamp=.venv-oldest/installed log=.venv-oldest/install.log
    python=$(command -v python3.11 || find_python) || exit 1
    state=$(sha256sum pyproject.toml)$PWD
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$state" ]; then
        return
    fi
    echo "Making .venv-oldest with $("$python" --version) and the lowest versions"
    "$python" -m venv --clear .venv-oldest || fail "$python could not make .venv-oldest."
    if ! "$python" tools/lib/floors.py >.venv-oldest/floors.txt ||
        ! .venv-oldest/bin/python -m pip --disable-pip-version-check install -e . \
            -r .venv-oldest/floors.txt >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        fail "" "The installation failed; the whole log is $log. Is the network there?"
    fi
    printf '%s' "$state" >"$stamp"
}
