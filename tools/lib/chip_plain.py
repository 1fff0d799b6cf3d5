"""An LSTM of 16 written by hand in plain C, to hold a chip's instructions against."""

from __future__ import annotations

from pathlib import Path

import chip_machines as machines

HEADER = """#include <math.h>
void plain_step(const float *x, float *y);
"""
PARTS = {"OWN": "", "SIZE": "16", "INIT": "(void)0", "STEP": "plain_step(x, y)"}
SOURCE = """#include <math.h>
#include "plain.h"
enum { I = 4, N = 16, O = 2, K = I + N + 1 };
static float W[K][4 * N] = {{0.1f}}, V[O][N + 1] = {{0.1f}}, u[K], c[N], a[4 * N];
static float logistic(float v) { return 1.0f / (1.0f + expf(-v)); }
void plain_step(const float *x, float *y) {
    for (int k = 0; k < I; k++) {
        if (!isfinite(x[k])) return;
        u[k] = x[k];
    }
    u[K - 1] = 1.0f;
    for (int j = 0; j < 4 * N; j++) a[j] = 0.0f;
    for (int k = 0; k < K; k++)
        for (int j = 0; j < 4 * N; j++) a[j] += u[k] * W[k][j];
    for (int j = 0; j < N; j++) {
        float i = logistic(a[j]), f = logistic(a[N + j]), o = logistic(a[3 * N + j]);
        c[j] = f * c[j] + i * tanhf(a[2 * N + j]);
        u[I + j] = o * tanhf(c[j]);
    }
    for (int n = 0; n < O; n++) {
        y[n] = V[n][N];
        for (int j = 0; j < N; j++) y[n] += V[n][j] * u[I + j];
    }
}
"""


def told(machine: machines.Machine, room: Path) -> str:
    """What it takes, compiled for size and for speed by gcc, with newlib's expf and tanhf."""
    lines = []
    for flag in ("-Os", "-O3"):
        place = room / flag[1:]
        place.mkdir(parents=True)
        (place / "plain.h").write_text(HEADER)
        (place / "plain.c").write_text(SOURCE)
        made = machine.compiler[:1] + tuple(f for f in machine.compiler[1:] if f[:2] == "-m")
        machines.run([*made, flag, "-c", str(place / "plain.c"), "-o", str(place / "plain.o")])
        stack, instructions = machines.measured(machine, place, "plain", PARTS)
        lines.append(f"{'plain C ' + flag:<24}{'':>25}{stack:>8}{instructions:>14}")
    return "\n".join(lines)
