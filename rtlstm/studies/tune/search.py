"""`tune`: settings chosen by progressive validation on the first part of a stream.

Every trial runs a forecaster over the first part, forecasting each row before it learns it, and is
judged by its mean squared error there; trials that fall behind the median are pruned (Optuna). The
best one replaces the defaults if it is better there by more than chance and the choice among many
trials explain. What was gained is told on the rest of the stream, which no trial has seen.
"""

from __future__ import annotations

import hashlib
import math
import multiprocessing
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from rtlstm.errors import MissingExtraError, SpecError
from rtlstm.studies.compare import scoring
from rtlstm.studies.compare.recording import Recording, from_frame
from rtlstm.studies.importances import importances
from rtlstm.studies.tune import space

Array = np.ndarray[Any, Any]
SHARE = 0.25  # of the rows that are searched, if not told otherwise
CHUNK = 250  # rows between two looks at the median


@dataclass
class Tuned:
    """What a search found.

    settings: what to use, the best ones or the defaults; best: the best of the trials. trials: how
    many ran; searched: rows of the first part; gain: share of the defaults' MSE that the best
    settings avoid there. mse (of the best) and default_mse: on the rest, in units of each target's
    scale; difference: mean and 95 % interval of best less default there. importances: share of the
    variance by setting (fANOVA), None if too few trials were complete.
    """

    settings: dict[str, Any]
    best: dict[str, Any]
    trials: int
    searched: int
    gain: float
    mse: float
    default_mse: float
    difference: tuple[float, float, float]
    importances: dict[str, float] | None
    targets: tuple[str, ...]
    horizon: int

    @property
    def better(self) -> bool:
        """Whether the settings are better than the defaults beyond chance, on the rest."""
        return self.settings != space.DEFAULT and self.difference[2] < 0

    def sentence(self) -> str:
        """Say in plain words what tuning gained."""
        if self.best == space.DEFAULT:
            return "The defaults are the best that was found: nothing is gained by tuning."
        rest = 1.0 - self.mse / self.default_mse
        meaning = "stands out from chance" if self.difference[1] * self.difference[2] > 0 else (
            "chance could make"
        )  # fmt: skip
        gain = (
            f"On the rows after {self.searched:,}, which no trial has seen, it has MSE"
            f" {self.mse:.4g}, the defaults {self.default_mse:.4g}: {_share(rest)}, a difference"
            f" that {meaning}."
        )
        if self.settings == space.DEFAULT:
            return (
                f"The defaults are kept: the best trial had {_share(self.gain)} error on the rows"
                f" searched, too little to be told from chance among {self.trials}. {gain}"
            )
        return f"The best trial takes the place of the defaults. {gain}"

    def toml(self) -> str:
        """Return the settings as `rtlstm stream --config` takes them."""
        s = self.settings
        targets = ", ".join(f'"{name}"' for name in self.targets)
        lines = [
            "[forecaster]",
            f"targets = [{targets}]",
            f"horizon = {self.horizon}",
            f"lags = {s['lags']}",
            f'rule = "{space.rule_of(s)}"',
            f'cell = "{s["cell"]}"',
            f"units = {s['units']}",
            f"layers = {s['layers']}",
        ]
        return "\n".join(lines) + "\n"


def _share(gain: float) -> str:
    return f"{abs(gain):.1%} {'less' if gain >= 0 else 'more'}"


def tune(
    data: Any,
    times: Any = None,
    targets: Sequence[str] | None = None,
    horizon: int = 1,
    trials: int = 40,
    searched: int | None = None,
    journal: str | os.PathLike[str] | None = None,
    jobs: int = 1,
    seed: int = 0,
    progress: Callable[[int, float], None] | None = None,
) -> Tuned:
    """Search settings of a Forecaster on the first part of a stream, and judge them on the rest.

    data, times, targets, horizon: as in :func:`rtlstm.compare`. trials: how many settings are
    tried, the defaults first. searched: rows of the first part (None: a quarter). journal: a file
    in which the search is kept, and from which it goes on. jobs: processes; with several a journal
    is needed. progress: called with the number and MSE of every complete trial of this process.
    Raises SpecError for arguments that make no sense, MissingExtraError without Optuna.
    """
    recording = data if isinstance(data, Recording) else from_frame(data, times)
    indices = recording.indices(targets)
    first = int(SHARE * len(recording)) if searched is None else searched
    if not 4 * horizon + 40 <= first < len(recording):
        raise SpecError(f"{first} of {len(recording)} rows are no part to search: too few or all")
    if jobs > 1 and journal is None:
        raise SpecError("several processes need a journal, by which they know of each other")
    task = _Task(recording, indices, horizon, first, seed)
    study = _study(journal, seed)
    _claim(study, task)
    if not study.trials:
        study.enqueue_trial(dict(space.DEFAULT))
    if jobs > 1:
        _parallel(task, str(journal), trials, jobs, seed)
        study = _study(journal, seed)
    else:
        left = max(trials - len(study.trials) + (study.trials[0].state.name == "WAITING"), 0)
        study.optimize(task.objective, n_trials=left, callbacks=_callbacks(progress))
    return task.judge(study)


@dataclass
class _Task:
    """One stream to search on: its first part for the trials, the rest for the judgement."""

    recording: Recording
    indices: tuple[int, ...]
    horizon: int
    first: int
    seed: int

    def objective(self, trial: Any) -> float:
        """Return the MSE of a trial's settings over the first part, its first fifth left out."""
        import optuna

        model = self._make(space.suggest(trial))
        truth, scale = self._truth(), self._scale()
        warm, total, count = self.warm, 0.0, 0
        last = np.empty((self.first, len(self.indices)))
        for begin in range(0, self.first, CHUNK):
            end = min(begin + CHUNK, self.first)
            rows, times = self.recording.rows[begin:end], self.recording.times[begin:end]
            last[begin:end] = model.run(rows, times)[:, 0]
            at = np.arange(max(begin, warm, self.horizon), end)
            off = (truth[at] - last[at - self.horizon]) / scale
            total += float(np.nansum(off**2))
            count += int(np.isfinite(off).sum())
            if count:
                trial.report(total / count, end)
                if trial.should_prune():
                    raise optuna.TrialPruned
        return total / count if count else math.inf

    def judge(self, study: Any) -> Tuned:
        """Run the best settings and the defaults over everything, choose, and score the rest."""
        best, trials = dict(study.best_params), len(study.trials)
        both = [self._losses(settings) for settings in (best, space.DEFAULT)]
        searched = [losses[: self.first - self.warm] for losses in both]
        rest = [losses[self.first - self.warm :] for losses in both]
        gain = 1.0 - float(np.nanmean(searched[0]) / np.nanmean(searched[1]))
        found = self._difference(searched)
        # The best of many is better than it will be: chance has to be left behind by more.
        far = found[0] + (found[2] - found[0]) * _quantile(trials) / _quantile(1)
        return Tuned(
            best if far < 0.0 else dict(space.DEFAULT),
            best,
            trials,
            self.first,
            gain,
            float(np.nanmean(rest[0])),
            float(np.nanmean(rest[1])),
            self._difference(rest),
            _importances(study),
            tuple(self.recording.columns[j] for j in self.indices),
            self.horizon,
        )

    @property
    def warm(self) -> int:
        """Rows at the start that are learned and not scored."""
        return max(self.first // 5, self.horizon)

    def _difference(self, losses: Sequence[Array]) -> tuple[float, float, float]:
        block = max(math.isqrt(len(losses[0])), self.horizon)
        return scoring.difference(losses[0], losses[1], block)

    def mark(self) -> str:
        """What knows the same task again: its first rows, targets and horizon."""
        digest = hashlib.blake2b(digest_size=8)
        digest.update(np.ascontiguousarray(self.recording.rows[: self.first]).tobytes())
        digest.update(repr((self.recording.columns, self.indices, self.horizon)).encode())
        return digest.hexdigest()

    def _losses(self, settings: dict[str, Any]) -> Array:
        made = self._make(settings).run(self.recording.rows, self.recording.times)[:, 0]
        off = scoring.errors(self._truth(), made, self.horizon, self.warm, self._scale())
        known = np.isfinite(off).sum(axis=1)
        losses: Array = np.where(
            known > 0, np.nansum(off**2, axis=1) / np.maximum(known, 1), np.nan
        )
        return losses

    def _make(self, settings: dict[str, Any]) -> Any:
        columns = list(self.recording.columns)
        targets = [columns[j] for j in self.indices]
        return space.forecaster(settings, columns, targets, self.horizon, self.seed)

    def _truth(self) -> Array:
        rows = self.recording.rows
        return np.where(np.isfinite(rows), rows, np.nan)[:, list(self.indices)]

    def _scale(self) -> Array:
        spread = np.nanstd(self._truth()[: self.first], axis=0)
        return np.where(spread > 0, spread, 1.0)


def _quantile(trials: int) -> float:
    """Standard errors that the best of so many trials reaches by chance in one search of 40."""
    return NormalDist().inv_cdf(1.0 - 0.025 / trials)


def _claim(study: Any, task: _Task) -> None:
    """Mark a new search with its task; raises SpecError for one that was kept for another."""
    marked = study.user_attrs.get("task")
    if marked is None:
        study.set_user_attr("task", task.mark())
    elif marked != task.mark():
        raise SpecError(
            "the journal holds a search on other rows, targets or horizon; give another file"
        )


def _study(journal: Any, seed: int) -> Any:
    """A study of Optuna, kept in the journal file if there is one."""
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError:
        raise MissingExtraError("tuning needs optuna: pip install 'rtlstm[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = None if journal is None else JournalStorage(JournalFileBackend(str(journal)))
    return optuna.create_study(
        study_name="rtlstm",
        storage=storage,
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=None if journal else seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=8, n_warmup_steps=2 * CHUNK),
    )


def _callbacks(progress: Callable[[int, float], None] | None) -> list[Any]:
    def tell(study: Any, trial: Any) -> None:
        if progress is not None and trial.value is not None and trial.state.name == "COMPLETE":
            progress(trial.number, trial.value)

    return [tell]


def _parallel(task: _Task, journal: str, trials: int, jobs: int, seed: int) -> None:
    """Let several processes try until the journal holds so many trials."""
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_work, args=(task, journal, trials, seed)) for _ in range(jobs)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def _work(task: _Task, journal: str, trials: int, seed: int) -> None:
    from optuna.study import MaxTrialsCallback
    from optuna.trial import TrialState

    done = (TrialState.COMPLETE, TrialState.PRUNED)
    _study(journal, seed).optimize(
        task.objective, callbacks=[MaxTrialsCallback(trials, states=done)]
    )


def _importances(study: Any) -> dict[str, float] | None:
    from optuna.trial import TrialState

    try:
        return importances(study.get_trials(states=(TrialState.COMPLETE,)))
    except (RuntimeError, ValueError, ImportError):
        return None
