"""LLVM code of the functions that kernels would ask a C library for, alike on every chip.

A network asks for expf and tanhf; what is here keeps to IEEE single precision, and no operation is
fused or reordered.
"""

from __future__ import annotations

import re
import struct

__all__ = ["bits", "with_own_functions"]


def bits(number: float) -> str:
    """A float32 constant as LLVM writes one: the double that has its value."""
    return "0x" + struct.pack(">d", struct.unpack("f", struct.pack("f", number))[0]).hex().upper()


def _polynomial(coefficients: tuple[float, ...], x: str) -> tuple[str, str]:
    """LLVM code of a polynomial in x by Horner's rule, the highest power first, and its result."""
    lines, last = [f"  %start = fadd float {bits(0.0)}, {bits(coefficients[0])}"], "%start"
    for n, coefficient in enumerate(coefficients[1:]):
        lines.append(f"  %m{n} = fmul float {last}, {x}")
        lines.append(f"  %a{n} = fadd float %m{n}, {bits(coefficient)}")
        last = f"%a{n}"
    return "\n".join(lines), last


def _of_doubles(name: str, single: str) -> str:
    """LLVM code of a function of doubles that is computed in single precision by another."""
    return f"""define internal double @{name}(double %x) alwaysinline {{
entry:
  %single = fptrunc double %x to float
  %said = call float @{single}(float %single)
  %result = fpext float %said to double
  ret double %result
}}
"""


def own_expf() -> str:
    """LLVM code of expf: range reduction and a polynomial of degree 5 (Cephes, `expf.c`).

    Within 1.2e-7 of the value. No operation is fused or reordered, so every chip with IEEE single
    precision answers alike, to the last bit.
    """
    steps = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1)
    polynomial, last = _polynomial((*steps, 5.0000001201e-1), "%r")
    return f"""
define internal float @expf(float %given) noinline {{
entry:
  %low = fcmp olt float %given, {bits(-104.0)}
  %not_low = select i1 %low, float {bits(-104.0)}, float %given
  %high = fcmp ogt float %not_low, {bits(89.0)}
  %held = select i1 %high, float {bits(89.0)}, float %not_low
  %known = fcmp ord float %given, %given
  %x = select i1 %known, float %held, float {bits(0.0)}
  %scaled = fmul float %x, {bits(1.44269504088896341)}
  %big = fadd float %scaled, {bits(12582912.0)}
  %k = fsub float %big, {bits(12582912.0)}
  %k1 = fmul float %k, {bits(0.693359375)}
  %r1 = fsub float %x, %k1
  %k2 = fmul float %k, {bits(-2.12194440e-4)}
  %r = fsub float %r1, %k2
{polynomial}
  %square = fmul float %r, %r
  %curved = fmul float {last}, %square
  %more = fadd float %curved, %r
  %near = fadd float %more, {bits(1.0)}
  %whole = fptosi float %k to i32
  %half = ashr i32 %whole, 1
  %rest = sub i32 %whole, %half
  %half_up = add i32 %half, 127
  %rest_up = add i32 %rest, 127
  %half_bits = shl i32 %half_up, 23
  %rest_bits = shl i32 %rest_up, 23
  %half_power = bitcast i32 %half_bits to float
  %rest_power = bitcast i32 %rest_bits to float
  %once = fmul float %near, %half_power
  %twice = fmul float %once, %rest_power
  %result = select i1 %known, float %twice, float %given
  ret float %result
}}
"""


def own_tanhf() -> str:
    """LLVM code of tanhf, by a polynomial near 0 (Cephes, `tanhf.c`) and by expf elsewhere.

    A tanh of doubles is the same: nothing in a float32 network needs more.
    """
    steps = (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1)
    polynomial, last = _polynomial((*steps, -3.33332819422e-1), "%square")
    return f"""
declare float @llvm.fabs.f32(float)
declare float @llvm.copysign.f32(float, float)
define internal float @tanhf(float %x) noinline {{
entry:
  %size = call float @llvm.fabs.f32(float %x)
  %twice = fadd float %size, %size
  %power = call float @expf(float %twice)
  %below = fadd float %power, {bits(1.0)}
  %part = fdiv float {bits(2.0)}, %below
  %far = fsub float {bits(1.0)}, %part
  %signed = call float @llvm.copysign.f32(float %far, float %x)
  %square = fmul float %x, %x
{polynomial}
  %cubed = fmul float {last}, %square
  %bent = fmul float %cubed, %x
  %near = fadd float %bent, %x
  %small = fcmp olt float %size, {bits(0.625)}
  %result = select i1 %small, float %near, float %signed
  ret float %result
}}
{_of_doubles("tanh", "tanhf")}"""


# (1 + tanh(x / 2)) / 2, as the kernels' plain loops have it, is one exponential and a division.
_HALF = r"5\.000000e-01"
LOGISTIC = re.compile(
    rf"(?P<a>%\S+) = fmul [a-z ]*float (?P<x>\S+), {_HALF}\s+"
    r"(?P<b>%\S+) = (?:tail )?call [a-z ]*float @tanhf\(float (?P=a)\)\s+"
    rf"(?P<c>%\S+) = fmul [a-z ]*float (?P=b), {_HALF}\s+"
    rf"(?P<d>%\S+) = fadd [a-z ]*float (?P=c), {_HALF}\n"
)


def own_logistic() -> str:
    """LLVM code of 1 / (1 + exp(-x)) in single precision, as vectors compute it."""
    return f"""
define internal float @rtlstm_logisticf(float %x) noinline {{
entry:
  %minus = fneg float %x
  %power = call float @expf(float %minus)
  %below = fadd float %power, {bits(1.0)}
  %result = fdiv float {bits(1.0)}, %below
  ret float %result
}}
"""


def with_own_functions(text: str) -> str:
    """The code of a module with our expf and tanhf in place of those that it asks for."""
    names = r"(llvm\.exp\.f32|expf|llvm\.tanh\.f32|tanhf|llvm\.tanh\.f64|tanh)"
    kept = r"(llvm\.fabs\.f32|llvm\.copysign\.f32)"
    text = re.sub(rf"^declare .*@({names}|{kept})\(.*$", "", text, flags=re.M)
    for theirs, ours in (("exp.f32", "expf"), ("tanh.f32", "tanhf"), ("tanh.f64", "tanh")):
        text = text.replace(f"@llvm.{theirs}(", f"@{ours}(")
    text = LOGISTIC.sub(r"\g<d> = call float @rtlstm_logisticf(float \g<x>)\n", text)
    return text + own_expf() + own_tanhf() + own_logistic()
