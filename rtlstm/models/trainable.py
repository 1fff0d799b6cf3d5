"""What a learner can do beyond a stream of samples: passes over recorded sequences, frozen weights,
averaged weights, settings that change, a look at its errors.
"""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from rtlstm.errors import SpecError, StateError
from rtlstm.kernels import plan as p
from rtlstm.layouts import rules
from rtlstm.layouts.learner import LearnerLayout, LearnerSpec, lay_out
from rtlstm.models.base import Model
from rtlstm.models.fitting import Fitting, History, Options
from rtlstm.models.network import Network, chunk_rows
from rtlstm.training import SGD

Array = np.ndarray[Any, Any]
MAX_CHUNK = 4096  # rows that one call into the kernels takes


class Trainable(Model):
    """The part of :class:`rtlstm.Learner` that trains over recorded sequences."""

    spec: LearnerSpec
    net: Network
    _layout: LearnerLayout
    _plan: Array

    def fit(
        self,
        sequences: Iterable[tuple[Any, Any]],
        passes: int = 1,
        shuffle: bool = False,
        validation: Iterable[tuple[Any, Any]] | None = None,
        patience: int | None = None,
        callback: Callable[[History], Any] | None = None,
        update: str | int = "step",
        batch_size: int = 1,
    ) -> History:
        """Learn recorded sequences (X, Y) in several passes; returns the mean loss of each pass.

        X (T, inputs), Y (T, outputs), NaN where unknown, of any lengths; all are checked first, and
        state and traces are zero at the start of each. ``update``: "step": the weights move as they
        do in :meth:`step`, bit for bit; "sequence": the gradients of a whole sequence are summed,
        of whatever rule, and one update follows; a number k: one every k steps, and at the end of
        a sequence. ``batch_size``: so many whole sequences are summed before one update. ``clip``
        holds the norm of the sum. ``shuffle``: another order in each pass, from the learner's seed.
        ``validation``: sequences judged after each pass; the weights of the best pass are the ones
        that are kept, and ``patience`` is the number of passes without a better one that ends it.
        ``callback(history)`` is called after each pass; a true value ends it.

        The loss of a pass is the mean over its steps with a target of the loss before learning
        from it. Dropout and input noise act here alone. See :class:`rtlstm.models.fitting.History`
        for what else is returned. Ctrl-C is heard between sequences, and leaves what was learned.
        """
        validation = None if validation is None else list(validation)
        options = Options(passes, shuffle, validation, patience, callback, update, batch_size)
        if update not in ("step", "sequence") and self.spec.rule.name == "bptt":
            raise SpecError("'bptt' has a gradient at the end of a sequence: update='sequence'")
        return Fitting(self, sequences, options).run()  # type: ignore[arg-type]

    @property
    def _schedule(self) -> Any:
        """The function that gives the learning rate, or None."""
        return self.spec.optimizer.lr if callable(self.spec.optimizer.lr) else None

    def _chunk(self) -> int:
        """Rows that one call into the kernels may take."""
        spec = self.net.spec
        return min(MAX_CHUNK, chunk_rows(spec, rules.rule_row(self.spec.rule).cost))

    # ------------------------------------------------------------------ weights
    def freeze(self, pattern: str) -> None:
        """Keep the parameters of matching names as they are, for example "layer0.*" or "head.b".

        Gradients are still computed, and count in the norm that ``clip`` holds. The moments of
        frozen weights are 0, from which they go on. Raises SpecError if no name matches.
        """
        if not fnmatch.filter(self.net.parameters, pattern):
            names = ", ".join(self.net.parameters)
            raise SpecError(f"no parameter matches {pattern!r}; there are {names}")
        self._set_frozen((*self.spec.frozen, pattern))

    def unfreeze(self, pattern: str = "*") -> None:
        """Let matching parameters, all by default, learn again."""
        frozen = {
            name
            for name in self.net.parameters
            if any(fnmatch.fnmatchcase(name, known) for known in self.spec.frozen)
        }
        kept = sorted(frozen - set(fnmatch.filter(frozen, pattern)))
        self._set_frozen(tuple(kept))

    def _set_frozen(self, patterns: tuple[str, ...]) -> None:
        with self._lock:
            self.spec = dataclasses.replace(self.spec, frozen=patterns)
            self._layout = lay_out(self.spec)
            self._plan = self._layout.plan
            for moments in (name for name in ("moment1", "moment2") if name in self._saved):
                for name, view in self._by_name(moments).items():
                    if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
                        view[...] = 0.0
            self._forget_code()

    def _forget_code(self) -> None:
        """Bind the kernels anew before the next step: the plan has changed."""
        raise NotImplementedError

    def averaged(self) -> Network:
        """A copy of the network with the running average of its weights, for use or export.

        Raises StateError without ``average=``.
        """
        if self.spec.average is None:
            raise StateError("there is no average of the weights: Learner(average=0.998) keeps one")
        copy = Network.from_spec(self.net.spec)
        with self._lock:
            for name, view in copy.parameters.items():
                view[...] = self._by_name("average")[name]
        return copy

    def _by_name(self, kept: str) -> dict[str, Array]:
        """What is kept beside the weights, such as "average", by their names, as views."""
        flat = self._arena.view(self._saved[kept])
        start = int(self._plan[p.THETA])
        return {
            name: at._replace(offset=at.offset - start).view(flat)
            for name, at in self._layout.network.parameters.items()
        }

    def _weights(self) -> dict[str, Array]:
        """All that `fit` keeps of its best pass: weights, and their averages if there are any."""
        weights = dict(self.net.parameters)
        if self.spec.average is not None:
            weights |= {f"average.{name}": view for name, view in self._by_name("average").items()}
        return weights

    # ------------------------------------------------------------------ settings
    @property
    def lr(self) -> float:
        """The learning rate; it can be set at any time, also to 0, unless it follows a schedule."""
        return float(self._arena.d[p.D_LR])

    @lr.setter
    def lr(self, value: float) -> None:
        if self._schedule is not None:
            raise StateError("the learning rate follows a schedule; it cannot be set")
        optimizer: Any = self.spec.optimizer
        checked = dataclasses.replace(optimizer, lr=value)
        self._arena.d[p.D_LR] = checked.lr

    @property
    def momentum(self) -> float:
        """The momentum of SGD; it can be set at any time. Raises StateError for others."""
        self._need_momentum()
        return float(self._arena.d[p.D_HYPER])

    @momentum.setter
    def momentum(self, value: float) -> None:
        self._arena.d[p.D_HYPER] = dataclasses.replace(
            self._need_momentum(), momentum=value
        ).momentum

    def _need_momentum(self) -> SGD:
        if not isinstance(self.spec.optimizer, SGD):
            raise StateError(f"{type(self.spec.optimizer).__name__} has no momentum to set")
        return self.spec.optimizer

    # ------------------------------------------------------------------ a look inside
    @property
    def adjoint(self) -> dict[str, Array]:
        """dL/d(state) where the rule's last backward pass ended, by the names of ``net.state``.

        snap1 and truncated: the last step's loss by the state before that step (truncated without
        the paths through peepholes). rtrl: by the state at the start of the block from which it
        went back. hybrid, TBPTT, bptt: the last closed block's losses by the state before it.
        Raises StateError for uoro, which carries signs there.
        """
        if self.spec.rule.name == "uoro":
            raise StateError("uoro has no backward pass through the state, and so no adjoint")
        base = int(self._plan[p.WORK] + self._plan[p.ADJOINT]) - int(self._plan[p.STATE])
        if self.spec.rule.name == "rtrl" and not self._arena.q[p.Q_PENDING]:
            base = int(self._plan[p.START_ADJOINT]) - int(self._plan[p.STATE])
        with self._lock:
            return {
                name: at._replace(offset=at.offset + base).view(self._arena.f).copy()
                for name, at in self._layout.network.state.items()
            }
