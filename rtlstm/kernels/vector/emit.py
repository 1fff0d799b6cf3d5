"""LLVM code over explicit vectors, written as ordinary arithmetic.

An emission is a Python function that receives an Emitter, arrays as Slice and everything else as
Value, and leaves LLVM code behind: `e.store(f, y + j, alpha * e.load(g, x + j))`.
A Value is an i64, a scalar or a vector of `e.lanes` lanes; a scalar or a Python number meeting a
vector is spread over its lanes.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from rtlstm.kernels.vector.values import (
    BFLOAT16,
    FLAGS,
    I64,
    LANES,
    Slice,
    Value,
    declare,
    ir,
)

__all__ = ["BFLOAT16", "I64", "LANES", "Emitter", "Slice", "Value", "declare"]

Body = Callable[..., Iterable[Value] | None]


class Emitter:
    """Writes one function: `scalar` is its float type, `lanes` the width of loads and stores."""

    def __init__(self, builder: ir.IRBuilder, scalar: Any, registers: int) -> None:
        self.builder = builder
        self.scalar = scalar
        self.registers = registers
        self.single = isinstance(scalar, ir.FloatType)
        self.full = 2 * LANES if self.single else LANES
        self.lanes = self.full
        self.line = 64 // (4 if self.single else 8)  # elements of a cache line

    # Values

    def coerce(self, operand: Any, like: Any) -> Any:
        """Return the LLVM value of `operand` as the type `like`, spread over its lanes."""
        lane = like.element if isinstance(like, ir.VectorType) else like
        value = operand.llvm if isinstance(operand, Value) else ir.Constant(lane, operand)
        if value.type == like:
            return value
        if isinstance(value, ir.Constant):
            return ir.Constant(like, [value] * like.count)
        first = self.builder.insert_element(ir.Constant(like, ir.Undefined), value, I64(0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), like.count), None)
        return self.builder.shuffle_vector(first, first, mask)

    def common(self, *operands: Any) -> list[Any]:
        """Return the LLVM values of `operands` as one type: a vector's if there is one."""
        types = [o.llvm.type for o in operands if isinstance(o, Value)]
        like = next((t for t in types if isinstance(t, ir.VectorType)), types[0])
        return [self.coerce(o, like) for o in operands]

    def binary(self, name: str, left: Any, right: Any) -> Value:
        a, b = self.common(left, right)
        if a.type == I64:
            return Value(self, getattr(self.builder, name)(a, b, flags=("nsw",)))
        return Value(self, getattr(self.builder, f"f{name}")(a, b, flags=FLAGS))

    def compare(self, relation: str, left: Any, right: Any) -> Value:
        a, b = self.common(left, right)
        if isinstance(a.type, ir.IntType):
            return Value(self, self.builder.icmp_signed(relation, a, b))
        return Value(self, self.builder.fcmp_ordered(relation, a, b, flags=FLAGS))

    def where(self, condition: Value, yes: Any, no: Any) -> Value:
        a, b = self.common(yes, no)
        return Value(self, self.builder.select(condition.llvm, a, b))

    def minimum(self, a: Value, b: Value) -> Value:
        return self.where(a < b, a, b)

    def either(self, a: Value, b: Value) -> Value:
        return Value(self, self.builder.or_(a.llvm, b.llvm))

    def call(self, name: str, *operands: Any) -> Value:
        """Call LLVM's intrinsic `name` of one float type."""
        values = self.common(*operands)
        kind, suffix = values[0].type, "f32" if self.single else "f64"
        if isinstance(kind, ir.VectorType):
            suffix = f"v{kind.count}{suffix}"
        function = declare(
            self.builder.module, f"llvm.{name}.{suffix}", kind, [v.type for v in values]
        )
        return Value(self, self.builder.call(function, values))

    def fma(self, a: Any, b: Any, c: Any) -> Value:
        """a * b + c, fused where the machine can; llvm.fma would call a library where it cannot."""
        return self.call("fmuladd", a, b, c)

    def power_of_two(self, shifted: Value) -> Value:
        """2**k as a float, where k stands in the lowest bits of `shifted`, a float or vector."""
        b, width, point, bias = self.builder, 32, 23, 127
        if not self.single:
            width, point, bias = 64, 52, 1023
        kind = shifted.llvm.type
        bits = ir.IntType(width)
        if isinstance(kind, ir.VectorType):
            bits = ir.VectorType(bits, kind.count)
        moved = b.shl(b.bitcast(shifted.llvm, bits), self.coerce(point, bits))
        return Value(self, b.bitcast(b.add(moved, self.coerce(bias << point, bits)), kind))

    def clamp(self, value: Value, low: float | None = None, high: float | None = None) -> Value:
        """value held within bounds; a compare and a select, one instruction; NaN passes."""
        if low is not None:
            value = self.where(value < low, low, value)
        return value if high is None else self.where(value > high, high, value)

    def copysign(self, magnitude: Value, sign: Value) -> Value:
        return self.call("copysign", magnitude, sign)

    def abs(self, value: Value) -> Value:
        return self.call("fabs", value)

    def maximum(self, a: Any, b: Any) -> Value:
        """Emit the larger of two values, NaN if either is."""
        return self.call("maximum", a, b)

    def sqrt(self, value: Value) -> Value:
        return self.call("sqrt", value)

    def constant(self, number: float) -> Value:
        """A vector of `lanes` equal numbers."""
        return Value(self, self.coerce(number, self.vector(self.scalar)))

    def integer(self, number: int) -> Value:
        return Value(self, I64(number))

    # Memory

    def vector(self, element: Any) -> Any:
        return element if self.lanes == 1 else ir.VectorType(element, self.lanes)

    def at(self, array: Slice, offset: Value) -> Value:
        """Emit the load of one element."""
        return self._load(array, offset, array.element)

    def load(self, array: Slice, offset: Value) -> Value:
        """Load `lanes` elements; bfloat16, the upper half of a float32, is widened."""
        return self._load(array, offset, self.vector(array.element))

    def _load(self, array: Slice, offset: Value, kind: Any) -> Value:
        b, size = self.builder, {BFLOAT16: 2, ir.FloatType(): 4}.get(array.element, 8)
        pointer = b.gep(array.pointer, [offset.llvm], source_etype=array.element)
        value = b.load(pointer, align=size, typ=kind)
        if array.element == BFLOAT16:
            bits, number = ir.IntType(32), self.scalar
            if isinstance(kind, ir.VectorType):
                bits, number = ir.VectorType(bits, kind.count), ir.VectorType(number, kind.count)
            sixteen = self.coerce(16, bits)
            value = b.bitcast(b.shl(b.zext(value, bits), sixteen), number)
        return Value(self, value)

    def load_pair(self, array: Slice, offset: Value) -> tuple[Value, Value]:
        """Load 2 * lanes bfloat16 numbers: those at even places, those at odd places."""
        b, bits = self.builder, ir.VectorType(ir.IntType(32), self.lanes)
        pointer = b.gep(array.pointer, [offset.llvm], source_etype=array.element)
        both = b.load(pointer, align=2, typ=bits)  # an even one is the lower half of 32 bits
        even, odd = b.shl(both, self.coerce(16, bits)), b.and_(both, self.coerce(-65536, bits))
        number = self.vector(self.scalar)
        return Value(self, b.bitcast(even, number)), Value(self, b.bitcast(odd, number))

    def store(self, array: Slice, offset: Value, value: Any) -> None:
        """Store a vector of `lanes` elements, or a scalar spread over them."""
        data = self.coerce(value, self.vector(array.element))
        self.put(array, offset, Value(self, data))

    def put(self, array: Slice, offset: Value, value: Value) -> None:
        """Store a value of whatever width it has."""
        pointer = self.builder.gep(array.pointer, [offset.llvm], source_etype=array.element)
        self.builder.store(value.llvm, pointer, align=4 if self.single else 8)

    def prefetch(self, array: Slice, offset: Value) -> None:
        """Ask for the cache line of an element, which may lie anywhere, to be written to soon."""
        pointer = self.builder.gep(array.pointer, [offset.llvm], source_etype=array.element)
        flag = ir.IntType(32)
        function = declare(
            self.builder.module, "llvm.prefetch.p0", ir.VoidType(), [pointer.type, *3 * [flag]]
        )
        write, all_caches, data = flag(0), flag(3), flag(1)
        self.builder.call(function, [pointer, write, all_caches, data])

    # Control

    def loop(
        self,
        start: Any,
        stop: Value,
        step: int,
        body: Body,
        carried: Sequence[Value] = (),
        align: int = 0,
    ) -> list[Value]:
        """for (j = start; j + step <= stop; j += step) carried = body(j, *carried).

        Returns [j, *carried] as they stand at the end. align: bytes that the code begins at a
        multiple of.
        """
        b = self.builder
        before, head = b.block, b.append_basic_block()
        inside, after = b.append_basic_block(), b.append_basic_block()
        b.branch(head)
        b.position_at_end(head)
        first = [Value(self, self.coerce(start, I64)), *carried]
        phis = [b.phi(v.llvm.type) for v in first]
        for phi, value in zip(phis, first, strict=True):
            phi.add_incoming(value.llvm, before)
        j, *state = [Value(self, phi) for phi in phis]
        b.cbranch((stop < j + step).llvm, after, inside)
        b.position_at_end(inside)
        following = [j + step, *(body(j, *state) or ())]
        for phi, value in zip(phis, following, strict=True):
            phi.add_incoming(value.llvm, b.block)
        _keep_rolled(b.module, b.branch(head), align)
        b.position_at_end(after)
        return [j, *state]

    def unrolled(
        self, stop: Value, times: int, body: Body, carried: Sequence[Value], align: int = 0
    ) -> list[Value]:
        """for (k = 0; k < stop; k++) carried = body(k, *carried), `times` bodies a branch.

        align: as in `loop`.
        """

        def several(k: Value, *state: Value) -> Iterable[Value]:
            for i in range(times):
                state = tuple(body(k + i, *state) or ())
            return state

        k, *state = self.loop(0, stop, times, several, carried, align)
        return self.loop(k, stop, 1, body, state)[1:] if times > 1 else state

    def sweep(self, n: Value, body: Callable[[Value], None], odd: bool = False) -> None:
        """body(j) over n elements, a multiple of LANES unless it may be `odd`."""
        j: Any = 0
        for lanes in self.widths(odd):
            j = self.loop(j, n, lanes, body)[0]

    def reduce(
        self, n: Value, body: Callable[[Value, Value], Value], fold: Any, odd: bool = False
    ) -> Value:
        """total = body(j, total) over n elements, from 0; `fold` joins two partial totals."""

        def four(j: Value, *totals: Value) -> Iterable[Value]:
            return [body(j + i * self.full, total) for i, total in enumerate(totals)]

        j, *totals = self.loop(0, n, 4 * self.full, four, [self.constant(0.0)] * 4)
        total = fold(fold(totals[0], totals[1]), fold(totals[2], totals[3]))
        for lanes in self.widths(odd):
            while self.width(total) > lanes:
                total = self.halve(total, fold)
            j, total = self.loop(j, n, lanes, lambda j, t: [body(j, t)], [total])
        return self.total(total, fold)

    def branch(self, condition: Value, yes: Callable[[], None], no: Callable[[], None]) -> None:
        with self.builder.if_else(condition.llvm) as (then, otherwise):
            with then:
                yes()
            with otherwise:
                no()

    def choose(self, condition: Value, yes: Callable[[], Value], no: Callable[[], Value]) -> Value:
        """yes() or no(): a branch where the condition is the same for all lanes."""
        results = []
        with self.builder.if_else(condition.llvm) as branches:
            for branch, body in zip(branches, (yes, no), strict=True):
                with branch:
                    results.append((body().llvm, self.builder.block))
        phi = self.builder.phi(results[0][0].type)
        for value, block in results:
            phi.add_incoming(value, block)
        return Value(self, phi)

    def switch(
        self, value: Value, cases: dict[int, Callable[[], None]], default: Callable[[], None]
    ) -> None:
        b = self.builder
        after = b.append_basic_block()
        choice = None
        for number, body in [(None, default), *cases.items()]:
            block = b.append_basic_block()
            if choice is None:
                choice = b.switch(value.llvm, block)
            else:
                choice.add_case(I64(number), block)
            b.position_at_end(block)
            body()
            b.branch(after)
        b.position_at_end(after)

    # Lanes

    def narrowed(self, n: Value, body: Body, count: int) -> list[Value]:
        """`count` sums over [0, n) in LANES lanes: by full vectors, then halved, for the rest.

        body(j, *sums) returns the sums with what stands at j added.
        """
        j, *totals = self.loop(0, n, self.full, body, [self.constant(0.0)] * count)
        if self.full > LANES:
            self.lanes = LANES
            totals = [self.halve(t, operator.add) for t in totals]
            totals = self.loop(j, n, LANES, body, totals)[1:]
            self.lanes = self.full
        return totals

    def widths(self, odd: bool) -> Iterator[int]:
        """Set `lanes` to full vectors, then LANES, then, if counts may be `odd`, single ones."""
        for lanes in dict.fromkeys([self.full, LANES, *([1] if odd else [])]):
            self.lanes = lanes
            yield lanes
        self.lanes = self.full

    @staticmethod
    def width(value: Value) -> int:
        kind = value.llvm.type
        return int(kind.count) if isinstance(kind, ir.VectorType) else 1

    def shuffle(self, a: Value, b: Value, lanes: Sequence[int]) -> Value:
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes))
        return Value(self, self.builder.shuffle_vector(a.llvm, b.llvm, mask))

    def total(self, value: Value, fold: Any) -> Value:
        """Emit the sum of all lanes of a vector."""
        while self.width(value) > 1:
            value = self.halve(value, fold)
        return value

    def riffle(self, even: Value, odd: Value) -> tuple[Value, Value]:
        """Two vectors in memory order from their even and their odd places."""
        n = self.width(even)
        order = [i // 2 + n * (i % 2) for i in range(2 * n)]
        return self.shuffle(even, odd, order[:n]), self.shuffle(even, odd, order[n:])

    def unriffle(self, first: Value, second: Value) -> tuple[Value, Value]:
        """Emit the elements at even and at odd places of two vectors."""
        n = self.width(first)
        return tuple(self.shuffle(first, second, range(i, 2 * n, 2)) for i in (0, 1))  # type: ignore[return-value]

    @staticmethod
    def in_pairs(function: Any, vectors: Sequence[Value]) -> list[Value]:
        return [v for a, b in zip(vectors[::2], vectors[1::2]) for v in function(a, b)]

    def halve(self, value: Value, fold: Any) -> Value:
        """Emit the sum of the upper and the lower half of the lanes."""
        half = self.width(value) // 2
        if half == 1:
            low, high = (self.builder.extract_element(value.llvm, I64(i)) for i in (0, 1))
            return fold(Value(self, low), Value(self, high))  # type: ignore[no-any-return]
        low, high = range(half), range(half, 2 * half)
        return fold(self.shuffle(value, value, low), self.shuffle(value, value, high))  # type: ignore[no-any-return]

    def sums(self, vectors: Sequence[Value]) -> Value:
        """Return one vector with the sum of the lanes of each of LANES vectors.

        Pairs are joined so that every addition is over full vectors: LANES - 1 additions and a
        last one within the vector, where one reduction each takes log2(lanes) times LANES.
        """
        lanes = block = self.width(vectors[0])
        while len(vectors) > 1:
            low = [v * lanes + s + i for v in (0, 1) for s in range(0, lanes, block)
                   for i in range(block // 2)]  # fmt: skip
            high = [i + block // 2 for i in low]
            pairs = zip(vectors[::2], vectors[1::2], strict=True)
            vectors = [self.shuffle(a, b, low) + self.shuffle(a, b, high) for a, b in pairs]
            block //= 2
        total = vectors[0]
        if block == 1:
            return total
        even, odd = range(0, lanes, 2), range(1, lanes, 2)
        return self.shuffle(total, total, even) + self.shuffle(total, total, odd)


def _keep_rolled(module: Any, branch: Any, align: int) -> None:
    """Tell LLVM not to unroll the loop of a back edge: it is unrolled as far as it pays."""
    told = [module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])]
    if align:
        name = ir.MetaDataString(module, "llvm.loop.align")
        told.append(module.add_metadata([name, ir.Constant(ir.IntType(32), align)]))
    loop = ir.values.MDValue(module, (), str(len(module.metadata)))
    loop.operands = (loop, *told)
    branch.set_metadata("llvm.loop", loop)
