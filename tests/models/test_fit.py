"""Passes over recorded sequences: what moves the weights when, what repeats, what is kept."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rtlstm
from rtlstm.kernels import tables
from rtlstm.models.initialize import Uniform

Pairs = list[tuple[np.ndarray, np.ndarray]]
RULES = ["truncated", "rtrl", rtlstm.Hybrid(3), rtlstm.TBPTT(4), "bptt"]


def make(rule: Any = "truncated", optimizer: Any = None, **more: Any) -> rtlstm.Learner:
    net = rtlstm.Network(2, [rtlstm.LSTM(4, "vanilla"), rtlstm.LSTM(3)], 2, dtype="float64")
    return rtlstm.Learner(net, rule, optimizer or rtlstm.Adam(0.01), **more)


def sequences(count: int = 5, seed: int = 0) -> Pairs:
    draw = np.random.RandomState(seed)
    pairs = [
        (draw.standard_normal((t, 2)), draw.standard_normal((t, 2)))
        for t in draw.randint(3, 15, size=count)
    ]
    pairs[1][1][::2] = np.nan
    return pairs


def weights(learner: rtlstm.Learner) -> np.ndarray:
    return np.concatenate([view.ravel() for view in learner.net.parameters.values()])


def flat(blocks: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([block.ravel() for block in blocks.values()])


# ------------------------------------------------------------------ what moves the weights
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_fit_and_run_with_lengths_are_steps_and_resets(rule: Any) -> None:
    pairs = sequences()
    fitted, stepped, run = make(rule), make(rule), make(rule)
    history = fitted.fit(pairs, passes=2)
    losses: list[list[float]] = [[], []]
    for now in losses:
        for X, Y in pairs:
            stepped.reset()
            for x, y in zip(X, Y, strict=True):
                stepped.step(x, y)
                now += [] if np.isnan(y).all() else [stepped.loss]
    stepped.reset()
    rows = [np.concatenate([pair[k] for pair in pairs]) for k in (0, 1)]
    lengths = [len(X) for X, _ in pairs]
    for _ in range(2):
        P = run.run(*rows, lengths=lengths)
    assert P.shape == rows[1].shape
    np.testing.assert_allclose(history, [np.mean(now) for now in losses], rtol=1e-12)
    for other in (fitted, run):
        assert np.array_equal(weights(other), weights(stepped))
        assert not any(view.any() for view in other.net.state.values())


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize(("update", "batch"), [("sequence", 1), ("sequence", 2), (3, 1)])
def test_gradients_of_any_rule_are_summed_before_one_update(
    rule: Any, update: Any, batch: int
) -> None:
    if update == 3 and rule == "bptt":
        pytest.skip("refused, see below")
    pairs, lr = sequences(4), 0.01
    learner = make(rule, rtlstm.SGD(lr))
    learner.fit(pairs, update=update, batch_size=batch)
    still = make(rule, rtlstm.SGD(0.0))
    theta = weights(still)
    blocks = not isinstance(rule, str) or rule == "bptt"

    def move(total: np.ndarray) -> None:
        moved = theta - lr * total
        theta[:] = moved
        place = 0
        for view in still.net.parameters.values():
            view[...] = moved[place : place + view.size].reshape(view.shape)
            place += view.size
        total[:] = 0.0

    total = np.zeros_like(theta)
    for number, (X, Y) in enumerate(pairs):
        still.reset()
        for t, (x, y) in enumerate(zip(X, Y, strict=True)):
            updates = still.health()["updates"]
            still.step(x, y)
            if still.health()["updates"] > updates:
                total += flat(still.gradient)
            if (update == 3 and (t % 3 == 2 or t == len(X) - 1) and not blocks) or (
                update == 3 and blocks and t % 3 == 2
            ):
                move(total)
        if blocks:
            updates = still.health()["updates"]
            still.reset()
            if still.health()["updates"] > updates:
                total += flat(still.gradient)
        if update == 3 or (number + 1) % batch == 0:
            move(total)
    np.testing.assert_allclose(weights(learner), theta, rtol=0, atol=1e-13)


@pytest.mark.oracles
def test_the_gradient_of_a_mini_batch_is_that_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    draw = np.random.RandomState(3)
    net = rtlstm.Network(3, rtlstm.LSTM(6), 2, head="logistic", dtype="float64", seed=5)
    lengths = (9, 4, 13, 1)
    pairs = [
        (draw.standard_normal((t, 3)), draw.randint(2, size=(t, 2)).astype(float)) for t in lengths
    ]
    own = {name: torch.tensor(view.copy()) for name, view in net.parameters.items()}
    order = "ifzo"
    lstm = torch.nn.LSTM(3, 6, batch_first=True, dtype=torch.float64)
    head = torch.nn.Linear(6, 2, dtype=torch.float64)
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(torch.cat([own[f"layer0.W.{g}"] for g in order], 1).T)
        lstm.weight_hh_l0.copy_(torch.cat([own[f"layer0.R.{g}"] for g in order], 1).T)
        lstm.bias_ih_l0.copy_(torch.cat([own[f"layer0.b.{g}"] for g in order]))
        lstm.bias_hh_l0.zero_()
        head.weight.copy_(own["head.W"].T)
        head.bias.copy_(own["head.b"])
    X = torch.nn.utils.rnn.pad_sequence([torch.tensor(x) for x, _ in pairs], batch_first=True)
    Y = torch.nn.utils.rnn.pad_sequence([torch.tensor(y) for _, y in pairs], batch_first=True)
    each = torch.nn.functional.binary_cross_entropy_with_logits(
        head(lstm(X)[0]), Y, reduction="none"
    )
    mask = (torch.arange(X.shape[1]) < torch.tensor(lengths)[:, None])[..., None]
    (each * mask).sum().backward()
    before = {name: view.copy() for name, view in net.parameters.items()}
    learner = rtlstm.Learner(net, "bptt", rtlstm.SGD(1.0), loss="cross_entropy")
    learner.fit(pairs, update="sequence", batch_size=4)
    ours = {name: before[name] - view for name, view in net.parameters.items()}
    split = dict(zip(order, lstm.weight_ih_l0.grad.T.numpy().reshape(3, 4, 6).swapaxes(0, 1)))
    again = dict(zip(order, lstm.weight_hh_l0.grad.T.numpy().reshape(6, 4, 6).swapaxes(0, 1)))
    bias = dict(zip(order, lstm.bias_ih_l0.grad.numpy().reshape(4, 6)))
    for g in order:
        for kind, theirs in (("W", split), ("R", again), ("b", bias)):
            np.testing.assert_allclose(ours[f"layer0.{kind}.{g}"], theirs[g], atol=1e-10)
    np.testing.assert_allclose(ours["head.W"], head.weight.grad.T.numpy(), atol=1e-10)
    np.testing.assert_allclose(ours["head.b"], head.bias.grad.numpy(), atol=1e-10)


def test_bptt_takes_sequences_longer_than_a_stream_may_be() -> None:
    draw = np.random.RandomState(0)
    X = draw.standard_normal((1300, 2))
    long = [(X, X)]
    with pytest.raises(rtlstm.LimitError, match="given room"):
        make("bptt").run(X, X)
    assert len(make("bptt").fit(long)) == len(make("bptt").fit(long, update="sequence")) == 1


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("update", {"update": "epoch"}),
        ("update", {"update": 0}),
        ("update", {"update": True}),
        ("mini-batch", {"update": 3, "batch_size": 2}),
        ("passes", {"passes": -1}),
        ("batch_size", {"batch_size": 0}),
        ("patience", {"patience": 3}),
        ("validation", {"patience": 0, "validation": []}),
    ],
)
def test_fit_refuses_what_has_no_meaning(words: str, arguments: dict[str, Any]) -> None:
    learner = make()
    before = learner.snapshot()
    with pytest.raises(rtlstm.SpecError, match=words if words != "validation" else "patience"):
        learner.fit(sequences(), **arguments)
    assert learner.snapshot() == before


def test_fit_checks_all_sequences_before_the_first_is_learned() -> None:
    learner, pairs = make(), sequences()
    before = learner.snapshot()
    for bad in ((np.ones((3, 3)), np.ones((3, 2))), (np.ones((3, 2)), np.ones((4, 2)))):
        with pytest.raises(rtlstm.SampleError):
            learner.fit([*pairs, bad])
    for lengths in ([3], [2, -1], [1.0, 2.0], "ab"):
        with pytest.raises(rtlstm.SampleError, match="lengths"):
            learner.run(np.ones((4, 2)), np.ones((4, 2)), lengths=lengths)
    with pytest.raises(rtlstm.SpecError, match="bptt"):
        make("bptt").fit(pairs, update=3)
    assert learner.snapshot() == before
    assert list(learner.fit([])) == [0.0] and list(learner.fit(pairs, passes=0)) == []


# ------------------------------------------------------------------ noise
NOISE = {"dropout": (0.2, 0.4), "input_noise": 0.3, "seed": 7}


@pytest.mark.core
@pytest.mark.parametrize("update", ["step", "sequence"])
def test_dropout_and_noise_repeat_bit_for_bit_and_go_on_from_a_file(
    update: str, tmp_path: Path
) -> None:
    pairs = sequences()
    whole, part = make("truncated", **NOISE), make("truncated", **NOISE)
    want = whole.fit(pairs, passes=4, shuffle=True, update=update)
    first = part.fit(pairs, passes=1, shuffle=True, update=update)
    part.save(tmp_path / "learner")
    for other in (rtlstm.load(tmp_path / "learner"), pickle.loads(pickle.dumps(part))):
        assert [*first, *other.fit(pairs, passes=3, shuffle=True, update=update)] == want
        assert np.array_equal(weights(other), weights(whole))
    another = make("truncated", **{**NOISE, "seed": 8})
    assert another.fit(pairs, passes=4, shuffle=True, update=update) != want


def test_what_a_stream_is_answered_knows_neither_dropout_nor_noise() -> None:
    X, Y = sequences()[0]
    assert np.array_equal(make(**NOISE).run(X, Y), make().run(X, Y))


@pytest.mark.parametrize("rule", ["bptt", "rtrl"])
def test_the_gradient_is_that_of_the_loss_with_its_masks(rule: str) -> None:
    pairs = sequences(2)

    def loss_and_weights(nudge: float = 0.0, at: int = 0) -> tuple[float, np.ndarray]:
        learner = make(rule, rtlstm.SGD(1.0), **NOISE)
        name = list(learner.net.parameters)[at]
        learner.net.parameters[name].flat[-1] += nudge
        steps = sum(int((~np.isnan(Y).all(axis=1)).sum()) for _, Y in pairs)
        loss = learner.fit(pairs, update="sequence", batch_size=2)[0] * steps
        return loss, learner.net.parameters[name].flat[-1]

    net, h = make(rule).net, 1e-6
    for at in range(0, len(net.parameters), 3):
        start = list(net.parameters.values())[at].flat[-1]
        slope = (loss_and_weights(h, at)[0] - loss_and_weights(-h, at)[0]) / (2 * h)
        moved = start - loss_and_weights(0.0, at)[1]
        assert moved == pytest.approx(slope, abs=1e-7), at


def test_noise_has_the_size_and_masks_the_rate_that_were_asked_for() -> None:
    Z = Uniform(5).normal(200_000)
    assert abs(Z.mean()) < 0.01 and abs(Z.std() - 1.0) < 0.01
    assert abs((Z**4).mean() - 3.0) < 0.1
    from rtlstm.models.fitting import kept

    mask = kept(Uniform(3), (1000, 100), 0.2)
    assert set(np.unique(mask)) == {0.0, 1.25} and abs((mask == 0).mean() - 0.2) < 0.01


# ------------------------------------------------------------------ what is kept
def test_the_best_weights_are_kept_and_patience_ends_it() -> None:
    pairs = sequences(6)
    seen: list[tuple[float, np.ndarray]] = []
    learner = make(optimizer=rtlstm.Adam(0.05))

    def watch(history: rtlstm.History) -> None:
        seen.append((history.validation[-1], weights(learner)))

    history = learner.fit(pairs[:4], 200, validation=pairs[4:], patience=5, callback=watch)
    assert not history.finished and len(history) == len(history.validation) < 200
    best = int(np.argmin(history.validation))
    assert history.best == best == len(history) - 1 - 5
    assert np.array_equal(weights(learner), seen[best][1])
    assert learner.net.evaluate(pairs[4:], "mse") == pytest.approx(seen[best][0], rel=1e-12)
    assert len(history.rates) == len(history.seconds) == len(history.updates) == len(history)


def test_a_callback_ends_it_and_ctrl_c_keeps_what_is_done() -> None:
    learner = make()
    assert len(learner.fit(sequences(), 50, callback=lambda history: len(history) == 3)) == 3

    def interrupt(history: rtlstm.History) -> None:
        raise KeyboardInterrupt

    alike, stopped = make(), make()
    alike.fit(sequences(), update="sequence")
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(sequences(), 50, callback=interrupt, update="sequence")
    assert np.array_equal(weights(alike), weights(stopped))
    assert stopped.snapshot() == alike.snapshot()


@pytest.mark.core
def test_the_average_of_the_weights_follows_them(tmp_path: Path) -> None:
    learner, (X, Y) = make(average=0.5), sequences()[0]
    mean = weights(learner)
    for t, (x, y) in enumerate(zip(X, Y, strict=True), 1):
        learner.step(x, y)
        keep = min(0.5, t / (t + 9))
        mean = keep * mean + (1 - keep) * weights(learner)
        averaged = flat(learner.averaged().parameters)
        np.testing.assert_allclose(averaged, mean, rtol=1e-12, atol=1e-14)
    learner.save(tmp_path / "learner")
    again = rtlstm.load(tmp_path / "learner")
    assert np.array_equal(flat(again.averaged().parameters), averaged)
    learner.fit(sequences(), update="sequence", validation=sequences(2, 9))
    assert not np.array_equal(flat(learner.averaged().parameters), averaged)
    with pytest.raises(rtlstm.StateError, match="average"):
        make().averaged()


@pytest.mark.core
@pytest.mark.parametrize("rule", ["truncated", "bptt"])
def test_frozen_weights_stay_and_all_others_learn(rule: str, tmp_path: Path) -> None:
    learner, pairs = make(rule, average=0.9), sequences()
    learner.freeze("layer0.*")
    learner.freeze("head.b")
    before = {name: view.copy() for name, view in learner.net.parameters.items()}
    learner.fit(pairs)
    learner.save(tmp_path / "learner")
    learner = rtlstm.load(tmp_path / "learner")
    learner.fit(pairs, update="sequence")
    for name, view in learner.net.parameters.items():
        fixed = name.startswith("layer0.") or name == "head.b"
        assert np.array_equal(view, before[name]) == fixed, name
    learner.unfreeze("layer0.W.*")
    learner.fit(pairs)
    for name, view in learner.net.parameters.items():
        fixed = (name.startswith("layer0.") and ".W." not in name) or name == "head.b"
        assert np.array_equal(view, before[name]) == fixed, name
    learner.unfreeze()
    assert learner.spec.frozen == ()
    with pytest.raises(rtlstm.SpecError, match="no parameter"):
        learner.freeze("layer7.*")


def test_what_is_not_asked_for_leaves_the_file_as_it_was() -> None:
    plain = make().spec.to_dict()
    assert set(plain) == {
        *("network", "rule", "optimizer", "loss", "clip", "delay", "huber_delta", "seed")
    }
    assert set(plain["optimizer"]) == {"kind", "lr", "beta1", "beta2", "eps"}


# ------------------------------------------------------------------ rates
@pytest.mark.core
def test_a_schedule_gives_the_rate_of_every_update(tmp_path: Path) -> None:
    X, Y = sequences()[2]
    rates = [rtlstm.schedules.exponential(0.1, 0.5, 4)(t) for t in range(len(X))]
    schedule = rtlstm.schedules.exponential(0.1, 0.5, 4)
    ours, run, by_hand = (make(optimizer=rtlstm.SGD(lr)) for lr in (schedule, schedule, 0.1))
    fitted = make(optimizer=rtlstm.SGD(lambda step: 0.1 * 0.5 ** (step / 4)))
    for x, y, lr in zip(X, Y, rates, strict=True):
        by_hand.lr = lr
        by_hand.step(x, y)
        ours.step(x, y)
        assert ours.lr == lr
    run.run(X, Y)
    fitted.fit([(X, Y)])
    for other in (ours, run, fitted):
        assert np.array_equal(weights(other), weights(by_hand))
    ours.save(tmp_path / "learner")
    assert rtlstm.load(tmp_path / "learner").spec == ours.spec
    with pytest.raises(rtlstm.SpecError, match="cannot be saved"):
        fitted.save(tmp_path / "other")
    with pytest.raises(rtlstm.StateError, match="schedule"):
        ours.lr = 0.1


def test_what_a_graph_does_not_do_is_refused_there(tmp_path: Path) -> None:
    frozen = make()
    frozen.freeze("head.b")
    schedule = rtlstm.schedules.cosine(0.1, 10)
    for learner, words in (
        (frozen, "frozen"),
        (make(optimizer=rtlstm.Adam(weight_decay=0.1)), "weight decay"),
        (make(optimizer=rtlstm.SGD(schedule)), "schedule"),
    ):
        with pytest.raises(rtlstm.SpecError, match=words):
            rtlstm.export_onnx_learner(learner, tmp_path / "learner.onnx")
    assert not list(tmp_path.iterdir())


def test_schedules_go_where_they_say() -> None:
    cosine = rtlstm.schedules.cosine(1.0, 10, 0.2)
    assert [cosine(0), cosine(5), cosine(10), cosine(99)] == pytest.approx([1.0, 0.6, 0.2, 0.2])
    warm = rtlstm.schedules.warmup(4, cosine)
    assert [warm(0), warm(3), warm(4), warm(9)] == pytest.approx([0.25, 1.0, 1.0, 0.6])
    stairs = rtlstm.schedules.exponential(1.0, 0.5, 3, stairs=True)
    assert [stairs(0), stairs(2), stairs(3), stairs(6)] == [1.0, 1.0, 0.5, 0.25]
    assert rtlstm.schedules.from_dict(warm.to_dict()) == warm
    for bad in (
        lambda: rtlstm.schedules.exponential(-1.0, 0.5),
        lambda: rtlstm.SGD(lambda t: -1.0),
    ):
        with pytest.raises(rtlstm.SpecError):
            bad()


def test_momentum_can_be_set_while_running() -> None:
    learner = make(optimizer=rtlstm.SGD(0.1, 0.5))
    learner.momentum = 0.9
    assert learner.momentum == 0.9
    with pytest.raises(rtlstm.SpecError, match="momentum"):
        learner.momentum = 1.5
    with pytest.raises(rtlstm.StateError, match="no momentum"):
        make().momentum = 0.5


@pytest.mark.oracles
def test_weight_decay_is_that_of_adamw() -> None:
    torch = pytest.importorskip("torch")
    learner, (X, Y) = make(optimizer=rtlstm.Adam(0.01, weight_decay=0.1)), sequences()[2]
    theirs = torch.nn.Parameter(torch.tensor(weights(learner)))
    adamw = torch.optim.AdamW([theirs], lr=0.01, weight_decay=0.1)
    for x, y in zip(X, Y, strict=True):
        learner.step(x, y)
        theirs.grad = torch.tensor(flat(learner.gradient))
        adamw.step()
        np.testing.assert_allclose(weights(learner), theirs.detach().numpy(), atol=1e-12)


# ------------------------------------------------------------------ evaluation
@pytest.mark.parametrize("loss", [row.name for row in tables.LOSSES])
@pytest.mark.parametrize("head", ["linear", "logistic", "softmax"])
def test_evaluate_is_the_mean_loss_of_a_learner_that_stands_still(head: str, loss: str) -> None:
    if head not in (tables.row(tables.LOSSES, loss).heads or (head,)):
        pytest.skip("this loss is not defined for this head")
    net = rtlstm.Network(2, rtlstm.LSTM(4), 2, head=head, dtype="float64")
    pairs = [(X, np.abs(Y) > 0.5) for X, Y in sequences()]
    pairs = [(X, Y.astype(float)) for X, Y in pairs]
    pairs[0][1][2:5] = np.nan
    still = rtlstm.Learner(net, "truncated", rtlstm.SGD(0.0), loss=loss)
    want = still.fit(pairs)[0]
    net.run(pairs[0][0])
    state = net.snapshot()
    assert net.evaluate(pairs, loss) == pytest.approx(want, rel=1e-12)
    assert net.snapshot() == state
    assert math.isnan(net.evaluate([], loss))


def test_evaluate_refuses_what_has_no_meaning() -> None:
    net = make().net
    with pytest.raises(rtlstm.SpecError, match="softmax or logistic"):
        net.evaluate(sequences(), "cross_entropy")
    with pytest.raises(rtlstm.SpecError, match="loss must be"):
        net.evaluate(sequences(), "accuracy")


# ------------------------------------------------------------------ trials
@pytest.mark.parametrize("threads", [1, 2])
def test_a_fleet_with_seeds_is_as_many_trials(threads: int) -> None:
    pairs = sequences()
    rows = [np.concatenate([pair[k] for pair in pairs]) for k in (0, 1)]
    lengths = [len(X) for X, _ in pairs]
    fleet = rtlstm.Fleet(make(), 3, threads=threads, seeds=[4, 5, 6])
    short = (rows[0][: lengths[0]], rows[1][: lengths[0]], lengths[:1])
    jobs = [(*rows, lengths), (*rows, lengths), short]
    P = fleet.run(*(list(part) for part in zip(*jobs)))
    for key, seed in enumerate((4, 5, 6)):
        net = rtlstm.Network(
            2, [rtlstm.LSTM(4, "vanilla"), rtlstm.LSTM(3)], 2, dtype="float64", seed=seed
        )
        alone = rtlstm.Learner(net, "truncated", rtlstm.Adam(0.01), seed=seed)
        X, Y, ends = jobs[key]
        assert np.array_equal(alone.run(X, Y, lengths=ends), P[key])
        assert np.array_equal(weights(fleet.learner(key)), weights(alone))
    fleet.add("more", make(optimizer=rtlstm.Adam(0.01)))
    with pytest.raises(rtlstm.SpecError, match="seeds"):
        rtlstm.Fleet(make(), 3, seeds=[1])
    with pytest.raises(rtlstm.SampleError, match="entries"):
        fleet.run([rows[0]], [rows[1]])


def test_a_gate_bias_on_a_head_is_refused() -> None:
    with pytest.raises(rtlstm.SpecError, match="gate_bias"):
        rtlstm.Network(1, rtlstm.LSTM(2), 1, head_init=rtlstm.Init(gate_bias={"f": 1.0}))


def test_a_learner_shows_what_it_is() -> None:
    shown = repr(make("rtrl", rtlstm.SGD(0.25, momentum=0.5)))
    assert all(part in shown for part in ("'rtrl'", "SGD", "0.25", "'mse'", "Network(inputs=2"))
