# Sourced by tools/test --matrix, after venv.sh: the core of tools/test and of tools/demo under every
# Python found, each with the newest dependencies that pip finds for it.

MATRIX=.venv-matrix

# Prints a line "VERSION PATH" for each Python from 3.11 on, the first of each version.
every_python() {
    local python version
    for python in python3 python3.1{1..9} "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin/python3; do
        python=$(command -v "$python") || continue
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2]) if sys.version_info >= (3, 11) else sys.exit(1)' 2>/dev/null) || continue
        echo "$version $python"
    done | sort -s -t. -k2,2n | awk '!seen[$1]++'
}

# core_under PYTHON VERSION: install, mypy, the tests marked `core`, and the demo's commands, cut short.
core_under() {
    local python=$1 here=$MATRIX/$2 out
    "$python" -m venv --clear "$here" || return
    "$here/bin/python" -m pip --disable-pip-version-check install --quiet -e ".[dev]" >"$here/install.log" 2>&1 || {
        tail -n 20 "$here/install.log" >&2
        return 1
    }
    "$here/bin/python" -m pip --disable-pip-version-check list | grep -iE '^(numba|numpy|onnx|onnxruntime|ml_dtypes|safetensors) '
    out=$here/demo
    mkdir -p "$out"
    "$here/bin/mypy" --no-error-summary --cache-dir "$here/mypy" &&
        "$here/bin/pytest" -n 2 -p no:cacheprovider -m core &&
        "$here/bin/rtlstm" stream recording --limit 500 --out "$out/forecasts.csv" --plot "$out/run.png" \
            --save "$out/model.safetensors" --onnx "$out/model.onnx" --report "$out/report.json" &&
        "$here/bin/rtlstm" stream recording --limit 100 --resume "$out/model.safetensors" --out "$out/live.csv" &&
        "$here/bin/python" tools/lib/demo_report.py "$out"
}

# matrix [ROOT...]: under the Pythons of this system, then under those of each system below a ROOT, such
# as debootstrap makes, by chroot into a copy of what git knows.
matrix() {
    local version python root failed=()
    while read -r version python; do
        echo "== Python $version ($python)"
        core_under "$python" "$version" </dev/null || failed+=("$version")
    done < <(every_python)
    for root in "$@"; do
        echo "== $root"
        mkdir -p "$root/tmp/rtlstm"
        git ls-files -z | tar --create --null --files-from=- --file=- --ignore-failed-read | tar --extract --file=- --directory "$root/tmp/rtlstm"
        chroot "$root" /tmp/rtlstm/tools/test --matrix </dev/null || failed+=("$root")
    done
    if [ ${#failed[@]} -gt 0 ]; then
        echo "== failed: ${failed[*]}"
        return 1
    fi
}
