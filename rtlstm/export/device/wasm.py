"""A model as a WebAssembly module, with an ES module around it and types for that."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from rtlstm.errors import StateError
from rtlstm.export.device.recording import Recording
from rtlstm.export.device.request import Program
from rtlstm.export.device.selftest import BOUND

STACK = 65536
PLAIN = """  /** Predict from a sample; the state moves on. RangeError: it is not finite. */
  step(x) { return this.#run("step", [x]); }
"""
LEARN = """  /** Predict from a sample, then learn from its target (NaN: unknown). */
  learn(x, target) { return this.#run("learn", [x, target]); }
"""
ROW = """  /** Take in a row at a time in seconds (NaN: no clock), learn, forecast what follows. */
  update(row, time = NaN, learn = true) {
    const all = this.#call("update", this.#put(0, row), time, Number(learn), this.#out());
    if (all === 3) throw new RangeError("a row's time must come after the last one's");
    const found = this.#found(), third = found.length / 3;
    return {
      values: found.slice(0, third),
      lower: found.slice(third, 2 * third),
      upper: found.slice(2 * third),
      VALUES
    };
  }
"""
MODULE = """// Made by rtlstm: @NAME@.wasm, for a browser or node. const m = await load();
const NAME = "@NAME@", INPUTS = @INPUTS@, OUTPUTS = @OUTPUTS@, BUFFERS = [@BUFFERS@];
const env = Object.setPrototypeOf({
  logf: Math.log, log1pf: Math.log1p, expm1f: Math.expm1, powf: Math.pow,
  exp2: (a) => 2 ** a, exp2f: (a) => 2 ** a, fmod: (a, b) => a % b,
}, Math);

/** Compile the module: from beside this file, from an address, or from its bytes. */
export async function load(source = new URL(`./${NAME}.wasm`, import.meta.url)) {
  let bytes = source;
  if (source instanceof URL && source.protocol === "file:") {
    bytes = await (await import("node:fs/promises")).readFile(source);
  } else if (source instanceof URL || typeof source === "string") {
    bytes = await (await fetch(source)).arrayBuffer();
  }
  return new Model((await WebAssembly.instantiate(bytes, { env })).instance.exports);
}

class Model {
  #at;
  inputs = INPUTS;
  outputs = OUTPUTS;
  constructor(exports) {
    this.#at = exports;
    const end = this.#free() + (2 * INPUTS + 2 * OUTPUTS) * 8, memory = exports.memory;
    const more = Math.ceil((end - memory.buffer.byteLength) / 65536);
    if (more > 0) memory.grow(more);
    this.init();
  }
  /** As it was when it was built. */
  init() { this.#call("init"); }
@OWN@  /** All that it holds, weights included: `rtlstm import-state` reads it. */
  export() {
    const parts = BUFFERS.map(([key, size]) => this.#bytes(key, size));
    const state = new Uint8Array(this.#size());
    parts.reduce((place, part) => (state.set(part, place), place + part.length), 0);
    return state;
  }
  /** Take back what `export` gave. */
  import(state) {
    const whole = this.#size();
    if (state.length !== whole) throw new RangeError(`the state has ${whole} bytes`);
    BUFFERS.reduce((place, [key, size]) => {
      this.#bytes(key, size).set(state.subarray(place, place + size));
      return place + size;
    }, 0);
  }
  #size() { return BUFFERS.reduce((sum, [, size]) => sum + size, 0); }
  #place(key) { return this.#at[`${NAME}_${key}`].value; }
  #bytes(key, size) { return new Uint8Array(this.#at.memory.buffer, this.#place(key), size); }
  #call(name, ...given) { return this.#at[`${NAME}_${name}`](...given); }
  #free() { return (this.#at.__heap_base.value + 15) & ~15; }
  #out() { return this.#free() + 8 * (INPUTS + OUTPUTS); }
  #found() { return new @KIND@(this.#at.memory.buffer, this.#out(), OUTPUTS).slice(); }
  #put(turn, numbers) {
    const length = turn ? OUTPUTS : INPUTS, place = this.#free() + 8 * INPUTS * turn;
    if (numbers.length !== length) throw new RangeError(`${length} numbers expected`);
    new @KIND@(this.#at.memory.buffer, place, length).set(numbers);
    return place;
  }
  #run(name, given) {
    const places = given.map((numbers, turn) => this.#put(turn, numbers));
    if (this.#call(name, ...places, this.#out())) throw new RangeError("the sample is not finite");
    return this.#found();
  }
}
"""


def write(program: Program, recorded: Recording, room: Path, name: str) -> None:
    """NAME.wasm, NAME.mjs, NAME.d.ts and NAME_selftest.mjs beside NAME.o."""
    link(program, room, name)
    (room / f"{name}.mjs").write_text(module(program, name))
    (room / f"{name}.d.ts").write_text(types(program))
    (room / f"{name}_selftest.mjs").write_text(selftest(program, recorded, name))


def linker() -> list[str]:
    """The command that links WebAssembly: wasm-ld of LLVM, or zig's of PyPI."""
    found = shutil.which("wasm-ld") or next(
        filter(None, (shutil.which(f"wasm-ld-{n}") for n in range(30, 12, -1))), None
    )
    if found:
        return [found]
    if find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "wasm-ld"]
    raise StateError("linking WebAssembly needs wasm-ld (LLVM's lld), or pip install ziglang")


def link(program: Program, room: Path, name: str) -> None:
    """NAME.wasm of NAME.o."""
    exported = [f.name for f in program.functions] + [*program.buffers, "init"]
    command = [*linker(), "--no-entry", "--import-undefined", "--strip-all", "--export=__heap_base"]
    command += [f"--export={name}_{key}" for key in exported]
    command += ["-z", f"stack-size={STACK}", "--stack-first"]
    command += [str(room / f"{name}.o"), "-o", str(room / f"{name}.wasm")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise StateError(f"linking failed: {done.stderr.strip()}")


def module(program: Program, name: str) -> str:
    """The text of NAME.mjs."""
    rows = bool(program.values)
    kind = "Float64Array" if rows else "Float32Array"
    sizes = program.sizes
    inputs = sizes["COLUMNS" if rows else "INPUTS"]
    outputs = 3 * sizes["HORIZONS"] * sizes["TARGETS"] if rows else sizes["OUTPUTS"]
    buffers = ", ".join(f'["{key}", {a.nbytes}]' for key, a in program.buffers.items())
    values = ", ".join(
        f'{key}: new Float64Array(this.#at.memory.buffer, this.#place("{buffer}"))[{place}]'
        for key, (buffer, place, _) in program.values.items()
    )
    own = ROW.replace("VALUES", values) if rows else PLAIN
    own += LEARN if program.kind == "learner" else ""
    resets = any(f.name == "reset" for f in program.functions)
    own += '  reset() { this.#call("reset"); }\n' if resets else ""
    parts = {
        "NAME": name, "INPUTS": inputs, "OUTPUTS": outputs, "BUFFERS": buffers, "OWN": own,
        "KIND": kind,
    }  # fmt: skip
    text = MODULE
    for key, part in parts.items():
        text = text.replace(f"@{key}@", str(part))
    return text


def types(program: Program) -> str:
    """The text of NAME.d.ts."""
    kinds = {
        "step": "  step(x: ArrayLike<number>): Float32Array;\n",
        "learn": "  learn(x: ArrayLike<number>, target: ArrayLike<number>): Float32Array;\n",
        "reset": "  reset(): void;\n",
        "update": "  update(row: ArrayLike<number>, time?: number, learn?: boolean): Forecast;\n",
    }
    own = "".join(kinds[function.name] for function in program.functions)
    values = "".join(f"  {key}: number;\n" for key in program.values)
    forecast = f"""export interface Forecast {{
  values: Float64Array;
  lower: Float64Array;
  upper: Float64Array;
{values}}}
"""
    return f"""{forecast if values else ""}export interface Model {{
  readonly inputs: number;
  readonly outputs: number;
  init(): void;
{own}  export(): Uint8Array;
  import(state: Uint8Array): void;
}}
export function load(source?: URL | string | BufferSource): Promise<Model>;
"""


def selftest(program: Program, recorded: Recording, name: str) -> str:
    """The text of NAME_selftest.mjs: the recorded steps again, `node NAME_selftest.mjs`."""
    told = {"x": recorded.inputs, "target": recorded.targets, "expected": recorded.answers}
    tables = "\n".join(f"const {key} = {_json(rows)};" for key, rows in told.items())
    call = {"network": "m.step(x[t])", "learner": "m.learn(x[t], target[t])"}.get(
        program.kind, "row(m.update(x[t].slice(0, -1), x[t].at(-1)))"
    )
    values = "".join(f", told.{key}" for key in program.values)
    return f"""// Recorded steps, some of them faulty; status 0: all are as they must be.
import {{ load }} from "./{name}.mjs";
{tables}
const row = (told) => [...told.values, ...told.lower, ...told.upper{values}];
const m = await load();
let worst = 0;
for (let t = 0; t < x.length; t++) {{
  if ({recorded.fresh} && t % {recorded.fresh} === 0) m.reset();
  let y = null;
  try {{ y = {call}; }} catch (error) {{ if (!(error instanceof RangeError)) throw error; }}
  if (Number.isNaN(expected[t][0]) !== (y === null)) throw new Error(`refused, or not, at ${{t}}`);
  if (y !== null) y.forEach((value, i) => {{
    const off = Math.abs(value - expected[t][i]) / {recorded.scale!r};
    if (!(off <= worst)) worst = off;
  }});
}}
console.log(`largest difference ${{Math.round(worst * 1e9)}} e-9`);
process.exit(worst < {BOUND[program.kind]} ? 0 : 1);
"""


def _json(rows: np.ndarray) -> str:
    return json.dumps(np.asarray(rows, float).tolist())
