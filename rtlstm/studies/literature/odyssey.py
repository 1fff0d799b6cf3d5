"""Greff et al. 2015, "LSTM: A Search Space Odyssey", on the JSB chorales: the next chord, of 88
independent keys, the split of Boulanger-Lewandowski et al. 2012.

Full BPTT with one update a chorale, SGD with Nesterov's momentum, noise on the inputs; random
search over the paper's ranges, each variant a study in one journal file: a search that was stopped
goes on, and several processes may work at one. Loss: nats a step, summed over keys, averaged over
all steps that are predicted; weights and stopping are chosen on the validation set.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rtlstm.errors import MissingExtraError, SourceError
from rtlstm.models.learner import Learner
from rtlstm.models.network import Network
from rtlstm.spec import LSTM
from rtlstm.studies.importances import importances
from rtlstm.studies.literature.settings import Settings
from rtlstm.studies.table import Table
from rtlstm.training import SGD, Adam

AVERAGED = "averaged †"  # vanilla, judged with a running average of its weights
AVERAGE = 0.998  # of them that an update leaves
VARIANTS = ("vanilla", "NIG", "NFG", "NOG", "NIAF", "NOAF", "CIFG", "NP", "FGR", AVERAGED)
NAMES = ("modern", "search", *VARIANTS)
PASSES, PATIENCE = 150, 15
WORST = 88 * np.log(2.0)  # nats: what guessing costs; a training that diverged counts as this
HOPELESS = 11.09  # nats: what always answering how often each key sounds costs
PARTS = ("train", "valid", "test")
WHERE = (
    "odyssey needs the JSB chorales in quarter notes as an .npz with train_roll (steps, 88),"
    " train_lengths, and the same for valid and test; they can be made from"
    " jsb-chorales-quarter.json of github.com/czhuang/JSB-Chorales-dataset. Give it with --data"
)
PEERS = (
    ("RNN, GRU, LSTM, TCN of Bai et al. 2018", "8.91, 8.43, 8.45, 8.10"),
    ("the Odyssey's best (NIAF)", "8.38"),
)
Pairs = list[tuple[Any, Any]]


def chorales(path: Path | None) -> dict[str, Pairs]:
    """Sequences (chords 1 … T-1, chords 2 … T) of each part."""
    if path is None:
        raise SourceError(WHERE)
    if path.is_dir():
        path = path / "jsb_chorales_quarter.npz"
    try:
        with np.load(path, allow_pickle=False) as held:
            found = {}
            for part in PARTS:
                roll = held[f"{part}_roll"].astype(np.float32)
                pieces = np.split(roll, np.cumsum(held[f"{part}_lengths"])[:-1])
                found[part] = [(piece[:-1], piece[1:]) for piece in pieces]
            return found
    except (OSError, KeyError, ValueError) as error:
        raise SourceError(f"{path}: {error}. {WHERE}") from None


def losses(learner: Learner, data: dict[str, Pairs]) -> tuple[float, float]:
    """Validation and test loss, of the averaged weights where there are such."""
    net = learner.net if learner.spec.average is None else learner.averaged()
    return tuple(net.evaluate(data[part], "cross_entropy") for part in ("valid", "test"))  # type: ignore[return-value]


def modern(data: dict[str, Pairs], settings: Settings, units: int = 128) -> Learner:
    """What is usual today: Adam, dropout, averaged weights."""
    net = Network(88, LSTM(units), 88, head="logistic", seed=settings.seed)
    learner = Learner(net, "bptt", Adam(3e-3), loss="cross_entropy", clip=5.0, seed=settings.seed,
                      dropout=0.2, average=AVERAGE)  # fmt: skip
    passes = 15 if settings.quick else 80
    learner.fit(data["train"], passes, shuffle=True, validation=data["valid"], patience=10,
                update="sequence", callback=_watch(settings, f"LSTM({units})"))  # fmt: skip
    return learner


def _watch(settings: Settings, name: str, until: float = np.inf) -> Any:
    """Tells of each pass; ends a training whose loss is not finite, that is hopeless, or late."""

    def watch(history: Any) -> bool:
        now = history.validation[-1]
        settings.say(f"odyssey: {name}, pass {len(history)}, validation {now:.3f}")
        hopeless = len(history) == _early(settings) and min(history.validation) > HOPELESS
        return time.monotonic() > until or hopeless or not np.isfinite(now)

    return watch


def _passes(settings: Settings) -> int:
    return settings.passes or (4 if settings.quick else PASSES)


def _early(settings: Settings) -> int:
    """Passes after which a trial that is no better than a constant answer ends."""
    return max(2 * _passes(settings) // 15, 5)


class OutOfTimeError(Exception):
    """The time of the search was over before a trial was."""


def objective(variant: str, data: dict[str, Pairs], settings: Settings, until: float) -> Any:
    """The validation loss of one draw of the paper's hyper-parameters."""

    averaged = variant == AVERAGED
    cell = "vanilla" if averaged else variant

    def judge(trial: Any) -> float:
        units = trial.suggest_int("units", 20, 200, log=True)
        rate = trial.suggest_float("lr", 1e-6, 1e-2, log=True)
        momentum = 1.0 - trial.suggest_float("1 - momentum", 0.01, 1.0, log=True)
        noise = trial.suggest_float("input_noise", 0.0, 1.0)
        net = Network(88, LSTM(units, cell, init=0.1), 88, head="logistic", head_init=0.1,
                      seed=trial.number)  # fmt: skip
        sgd = SGD(rate, momentum, nesterov=momentum > 0)
        learner = Learner(net, "bptt", sgd, loss="cross_entropy", input_noise=noise,
                          average=AVERAGE if averaged else None, seed=trial.number)  # fmt: skip
        history = learner.fit(
            data["train"], _passes(settings), shuffle=True, validation=data["valid"],
            patience=None if settings.quick else PATIENCE, update="sequence",
            callback=_watch(settings, f"{variant}, trial {trial.number}", until),
        )  # fmt: skip
        if time.monotonic() > until:
            raise OutOfTimeError
        valid, test = losses(learner, data)
        if not np.isfinite(valid):
            valid = test = float(WORST)
        trial.set_user_attr("test", test)
        trial.set_user_attr("passes", len(history))
        return float(valid)

    return judge


def attempt(optuna: Any, study: Any, judge: Any, seed: int) -> None:
    """One trial, whose draws follow from the seed and its number alone: the same ones in every
    variant, for any number of processes, and in a search that goes on.
    """
    trial = study.ask()
    study.sampler = optuna.samplers.RandomSampler(seed=100_000 * seed + trial.number)
    try:
        study.tell(trial, judge(trial))
    except OutOfTimeError:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    except BaseException:
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        raise


def run(settings: Settings) -> Iterator[Table]:
    """Today's usual training, then the search; tables of variants and of importances."""
    data = chorales(settings.data)
    if settings.wants("modern"):
        table = Table("modern", "JSB chorales, nats a step", ("network", "valid", "test"))
        table.notes.append("Published test figures stand in the last rows.")
        units, count = (64, 60) if settings.quick else (128, len(data["train"]))
        learner = modern({**data, "train": data["train"][:count]}, settings, units)
        title = f"LSTM({units}), Adam, dropout 0.2, averaged weights, {count} chorales"
        table.add(title, *losses(learner, data))
        for name, figures in PEERS:
            table.add(name, None, figures)
        yield table
    if settings.wants("search", *VARIANTS):
        yield from search(data, settings)


def search(data: dict[str, Pairs], settings: Settings) -> Iterator[Table]:
    """Random search, in turns, of the wanted variants, until trials or hours are used up."""
    try:
        import optuna
    except ImportError:
        raise MissingExtraError("the search needs optuna: pip install 'rtlstm[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if settings.quick:
        data = {part: pairs[: 40 if part == "train" else 20] for part, pairs in data.items()}
    studies = _studies(optuna, settings)
    variants = [variant for variant in VARIANTS if settings.wants("search", variant)]
    wanted = settings.count(200, 2)
    hours = settings.hours or (0.03 if settings.quick else 2.0)
    until = time.monotonic() + 3600 * hours
    while time.monotonic() < until:
        todo = [v for v in variants if len(_finished(studies[v])) < wanted]
        if not todo:
            break
        for variant in todo:
            if time.monotonic() < until:
                judge = objective(variant, data, settings, until)
                attempt(optuna, studies[variant], judge, settings.seed)
                yield _variants(studies, settings)
    yield _variants(studies, settings)
    yield _importances(studies)


def _studies(optuna: Any, settings: Settings) -> dict[str, Any]:
    storage = None
    if settings.folder is not None:
        settings.folder.mkdir(parents=True, exist_ok=True)
        journal = str(settings.folder / "odyssey.journal")
        backend = optuna.storages.journal.JournalFileBackend(journal)
        storage = optuna.storages.JournalStorage(backend)
    return {
        variant: optuna.create_study(
            storage=storage, study_name="jsb-" + variant.removesuffix(" †"), load_if_exists=True
        )
        for variant in VARIANTS
    }  # fmt: skip


def _finished(study: Any) -> list[Any]:
    return [trial for trial in study.trials if trial.value is not None]


def best_tenth(study: Any) -> Any:
    """Test losses of the tenth of the trials with the best validation loss, four at least."""
    ranked = sorted(_finished(study), key=lambda trial: trial.value)
    found = [trial.user_attrs["test"] for trial in ranked[: max(len(ranked) // 10, 4)]]
    return np.minimum(found, WORST)


def welch(a: Any, b: Any) -> float | None:
    """The two-sided p of Welch's t-test; None where there are too few."""
    if min(len(a), len(b)) < 2:
        return None
    va, vb = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    if va + vb == 0:
        return 1.0 if a.mean() == b.mean() else 0.0
    t = (a.mean() - b.mean()) / np.sqrt(va + vb)
    freedom = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    return student_tails(abs(float(t)), float(freedom))


def student_tails(t: float, freedom: float) -> float:
    """P(|T| > t) of Student's distribution, by integrating its density in the angle."""
    angle = np.arctan(t / np.sqrt(freedom))
    grid = np.linspace(0.0, min(40.0 / np.sqrt(freedom), np.pi / 2), 20_001)
    density = np.abs(np.cos(grid)) ** (freedom - 1.0)
    whole = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return float(1.0 - np.interp(angle, grid, whole) / whole[-1])


def _variants(studies: dict[str, Any], settings: Settings) -> Table:
    columns = (
        "variant", "trials", "best valid", "its test", "quartiles of the best tenth, test",
        "p against vanilla",
    )  # fmt: skip
    table = Table("variants", "The nine variants on JSB chorales, nats a step", columns)
    table.notes.append(
        "p: Welch's t-test on the test losses of the best tenth by validation, four trials or more."
        f" {_passes(settings)} passes at most (the paper: {PASSES}), {PATIENCE} without a better"
        f" one; not as in the paper, a trial ends that is not below {HOPELESS} nats after"
        f" {_early(settings)} passes,"
        " which is the loss of always answering how often each key sounds. Trial k draws the same"
        f" hyper-parameters in every variant. A training that diverged counts as {WORST:.0f} nats."
        f" †: vanilla, judged with a running average of its weights, {AVERAGE} an update, which the"
        " paper did not use."
    )
    vanilla = best_tenth(studies["vanilla"])
    for variant, study in studies.items():
        done = _finished(study)
        if not done:
            table.add(variant, 0, None, None, "-", None)
            continue
        best, tenth = min(done, key=lambda trial: trial.value), best_tenth(study)
        quartiles = ", ".join(f"{q:.3f}" for q in np.quantile(tenth, (0.25, 0.5, 0.75)))
        p = None if variant == "vanilla" else welch(tenth, vanilla)
        table.add(variant, len(done), best.value, best.user_attrs["test"], quartiles, p)
    return table


def _importances(studies: dict[str, Any]) -> Table:
    columns = ("hyper-parameter", "vanilla", "all variants")
    table = Table("importances", "fANOVA importances", columns)
    table.notes.append(
        "Shares of the variance of the validation loss, over the scales that were drawn on;"
        " optuna's FanovaImportanceEvaluator. The paper: the learning rate more than two thirds."
    )
    every = [trial for study in studies.values() for trial in _finished(study)]
    if len(_finished(studies["vanilla"])) < 4:
        return table
    try:
        found = [
            importances(trials, float(WORST)) for trials in (_finished(studies["vanilla"]), every)
        ]
    except ImportError:
        table.notes.append("scikit-learn is needed for these: pip install 'rtlstm[tune]'")
        return table
    except (RuntimeError, ValueError):  # all trials are alike
        return table
    for name in found[1]:
        table.add(name, *(shares[name] for shares in found))
    return table
