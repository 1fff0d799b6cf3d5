"""Streams made here: clean ones of several kinds, and the same with anomalies of known place.

A clean stream is (rows, columns) of one of BASES; `inject` changes spells of it, one KIND each, and
labels their rows. Everything follows from the seed.
"""

from __future__ import annotations

import numpy as np

BASES = ("seasonal", "ar", "walk", "beats", "load", "heavy", "white")
KINDS = (
    "spike",
    "shift",
    "amplitude",
    "frequency",
    "noise",
    "flat",
    "trend",
    "pattern",
    "missing",
    "decoupled",
)


def clean(base: str, rows: int, columns: int = 1, seed: int = 0) -> np.ndarray:
    """(rows, columns) float64 of one kind; columns share part of what drives them."""
    rng = np.random.default_rng([BASES.index(base), columns, seed])
    if base in ("white", "heavy"):
        heavy = base == "heavy"
        return rng.standard_t(3, (rows, columns)) if heavy else rng.normal(size=(rows, columns))
    mix = np.linspace(0.6, 1.0, columns)
    common, own = rng.normal(size=(rows, 1)), rng.normal(size=(rows, columns))
    noise = mix * common + (1.0 - mix) * own
    if base == "ar":
        return _autoregressive(noise, rng.uniform(0.5, 0.95, columns))
    if base == "walk":
        return np.cumsum(noise, axis=0)
    t = np.arange(rows)[:, None]
    period = rng.uniform(30.0, 150.0)
    if base == "seasonal":
        place = 2.0 * np.pi * t / period + rng.uniform(0.0, 6.0, columns)
        return np.sin(place) + 0.4 * np.sin(2.0 * place + 1.0) + 0.1 * noise
    if base == "beats":
        return _beats(rows, period, rng) * mix + 0.03 * own
    place = 2.0 * np.pi * t / 288.0
    slow = _autoregressive(noise, np.full(columns, 0.9))
    return np.exp(0.5 * np.sin(place) + 0.1 * slow) * (20.0 + 5.0 * rng.random(columns))


def _autoregressive(noise: np.ndarray, rates: np.ndarray) -> np.ndarray:
    out = np.zeros_like(noise)
    for t in range(1, len(noise)):
        out[t] = rates * out[t - 1] + noise[t]
    return out


def _beats(rows: int, period: float, rng: np.random.Generator) -> np.ndarray:
    """(rows, 1) a heart's beats: a sharp wave, a broad one, and an irregular rhythm."""
    at, out, t = 0.0, np.zeros(rows), np.arange(rows)
    while at < rows:
        near = slice(max(0, int(at) - 10), int(at + period))
        x = (t[near] - at) / period
        out[near] += np.exp(-((x / 0.03) ** 2)) - 0.2 * np.exp(-(((x - 0.06) / 0.02) ** 2))
        out[near] += 0.3 * np.exp(-(((x - 0.35) / 0.08) ** 2))
        at += period * (1.0 + 0.05 * rng.normal())
    return out[:, None]


def inject(
    rows: np.ndarray, kind: str, spells: int = 4, length: int = 100, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """(changed copy, (rows,) int64 labels): spells of one kind in the last three quarters."""
    rng = np.random.default_rng([KINDS.index(kind), length, seed])
    out, label = rows.copy(), np.zeros(len(rows), np.int64)
    begin = len(rows) // 4
    room = (len(rows) - begin) // spells
    for n in range(spells):
        size = 1 if kind == "spike" else int(length * rng.uniform(0.5, 1.5))
        start = begin + n * room + int(rng.integers(0, max(1, room - size - 1)))
        spell = slice(start, start + size)
        hit = rng.permutation(rows.shape[1])[: max(1, rows.shape[1] // 3)]
        out[spell, hit] = _changed(rows, spell, hit, kind, rng)
        label[spell] = 1
    return out, label


def _changed(
    rows: np.ndarray, spell: slice, hit: np.ndarray, kind: str, rng: np.random.Generator
) -> np.ndarray:
    """(length, hit) what stands in the spell instead."""
    piece, size = rows[spell, hit], spell.stop - spell.start
    local = rows[max(0, spell.start - 500) : spell.start, hit]
    scale, step = local.std(axis=0), np.diff(local, axis=0).std(axis=0)
    if kind == "spike":
        return piece + rng.choice((-1.0, 1.0)) * np.maximum(6.0 * step, 2.0 * scale)
    if kind == "shift":
        return piece + rng.choice((-1.0, 1.0)) * np.maximum(1.5 * scale, 4.0 * step)
    if kind == "amplitude":
        return piece.mean(axis=0) + rng.choice((0.3, 2.0)) * (piece - piece.mean(axis=0))
    if kind == "frequency":
        at = spell.start + (np.arange(size) * rng.choice((0.5, 2.0))).astype(np.int64) - size
        return rows[at, :][:, hit] - rows[at[0], hit] + piece[0]
    if kind == "noise":
        return piece + 3.0 * np.maximum(step, 0.05 * scale) * rng.normal(size=piece.shape)
    if kind == "flat":
        return np.repeat(piece[:1], size, axis=0)
    if kind == "trend":
        return piece + np.linspace(0.0, 1.0, size)[:, None] * 3.0 * np.maximum(scale, step)
    if kind == "pattern":
        return piece[::-1]
    if kind == "missing":
        return np.where(rng.random(piece.shape) < 0.5, np.nan, piece)
    if rows.shape[1] == 1:  # decoupled: what the column did at another time
        return rows[spell.start - size : spell.start, hit][::-1]
    shift = int(rng.integers(size, spell.start - size))
    return rows[spell.start - shift : spell.stop - shift, hit]
