"""The room that knows memory, CPython and the processor; all other kernels know arrays alone.

What is assumed here, and who sees to it. A breach of any of these reads or writes memory at large:

1. Addresses. An entry gets whole numbers and checks nothing. The arrays behind them are contiguous,
   of the dtype that the entry was compiled for and as long as the plan says; `models` and `inputs`
   see to that before every call, and no number that a user hands over becomes an address or a
   length unchecked. The arrays outlive every call: `bind.BoundKernel` holds those of its table.
2. Plans. A plan's offsets lie within its buffers. Layouts write plans, and files hold none: what a
   file says is a specification, which is validated and laid out anew.
3. Objects (`capi`). A fast call reads fields of CPython's and numpy's objects at fixed offsets. The
   offsets are compared with what numpy says of an array before one is made; interpreters without a
   GIL, of 32 bits, or other than CPython get none; and a canary must do on a copy what the checked
   way does (`fastcall`).
4. The GIL. A fast call runs under it until it lets it go, and touches no object meanwhile; the two
   numbers of the object's `Lock` keep every other way in waiting.
5. References. A fast call takes no reference to an argument, returns a new one to its answer, and
   leaves all counts as they were when it declines.
6. Statuses. A numba function returns whether it has raised beside its result; no kernel raises, and
   one that did would be told as a failure (`memory`), not as an answer.
7. Compiled code. The cache is unpickled, which runs code: its directory is the user's alone (0700),
   and what is not is not used (`compiler.directory`).
"""
