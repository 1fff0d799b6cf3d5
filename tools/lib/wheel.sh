# Sourced by tools/test --wheel, after venv.sh: tests against the library in a wheel, without numba.

WHEEL=.venv-wheel

# Makes $WHEEL: a wheel for this processor (its library is compiled when a kernel's source changed), an
# environment with it and what tests need, and a tree of what git knows whose package is the wheel's.
make_wheel() {
    local level wheel top=$PWD
    install dev
    level=$(.venv/bin/python -c 'import rtlstm; print(rtlstm.config()["levels_supported"].split(", ")[0])')
    echo "Building a wheel for $level"
    rm -rf "$WHEEL/dist" "$WHEEL/tree"
    .venv/bin/python tools/build_wheels --out "$WHEEL/dist" --levels "$level" --keep "$WHEEL/libraries" || return
    wheel=$(echo "$WHEEL"/dist/*.whl)
    "$WHEEL/bin/python" -c 'import pip' 2>/dev/null || .venv/bin/python -m venv "$WHEEL" || return
    "$WHEEL/bin/python" -m pip --disable-pip-version-check install --quiet --force-reinstall --no-deps "$wheel" &&
        "$WHEEL/bin/python" -m pip --disable-pip-version-check install --quiet "$wheel[dev,onnx]" || return
    mkdir "$WHEEL/tree"
    git ls-files -z | grep -zv '^rtlstm/' | tar --create --null --files-from=- --file=- | tar --extract --file=- --directory "$WHEEL/tree"
    ln -s "$("$top/$WHEEL/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/rtlstm" "$WHEEL/tree/rtlstm"
}

# wheel [pytest arguments]: those marked `core` and a comparison with numba, or the tests that are named.
wheel() {
    make_wheel || return
    local path=$PWD/$WHEEL/bin
    cd "$WHEEL/tree" || return
    if "$path/python" -c 'import numba' 2>/dev/null; then
        fail "There is numba in $WHEEL, so that it proves nothing."
    fi
    if [ $# -gt 0 ]; then
        RTLSTM_KERNELS=ahead exec "$path/pytest" -rs "$@"
    fi
    RTLSTM_KERNELS=ahead "$path/pytest" -rs -m core || return
    cd - >/dev/null || return
    echo "Comparing every answer of the library with those of numba, which compiles for minutes"
    RTLSTM_AHEAD=$WHEEL/libraries .venv/bin/pytest -rs tests/kernels/test_ahead.py
}
