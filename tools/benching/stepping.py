"""One step a call from Python, and many steps inside the runtime, beside peers and limits."""

import rtlstm
from benching import native, peers
from benching.products import OurProduct
from benching.setting import TAIL, Effort, network, rows_for, samples, step_tail
from rtlstm.cli.timing import Case, costs, tails
from rtlstm.studies.table import Table

# What is required, as ratios of one run: net.step to onnxruntime, net.run to the product alone.
STEP_RATIO = {8: 0.048, 16: 0.052, 32: 0.059, 64: 0.096, 128: 0.19, 256: 0.40}
RUN_RATIO = {8: 7.5, 16: 3.45, 32: 2.33, 64: 1.31, 128: 1.18, 256: 1.13}
RATIO_OF_VARIANTS = 1.35
TAIL_UNITS = 32
VARIANTS = (
    *("vanilla", "NIG", "NFG", "NOG", "NIAF", "NOAF", "CIFG", "FGR"),
    *("1997", "2000", "2002"),
)


def step(effort: Effort) -> Table:
    """From Python, one step a call."""
    table = Table(
        "step",
        "One step a call from Python, µs",
        ("n", "", "least", "median", "p50", "p99.9", "max", "of onnxruntime", "required"),
    )
    for n in effort.sizes:
        cases = step_cases(n)
        cost = costs(cases, effort.turns, effort.seconds)
        tail = tails(cases, effort.calls)
        base = cost.get(peers.OnnxRuntime.name)
        for case in cases:
            c, t = cost[case.name], tail[case.name]
            figures = (c.least, c.median, t.p50, t.p999, t.worst)
            ratio = c.least / base.least if base else None
            bar = STEP_RATIO.get(n) if case.name == "net.step(x)" else None
            table.add(n, case.name, *(ns / 1000 for ns in figures), ratio, bar)
    table.notes.append(TIMING)
    if peers.missing():
        table.notes.append(f"Not installed here: {', '.join(peers.missing())} (extra `peers`).")
    return table


TIMING = (
    "Least and median: CPU time of turns of many calls, the columns' cases taking turns."
    " p50, p99.9, max: each call by the wall's clock, the clock's own cost taken off."
)


def own_cases(n: int) -> list[Case]:
    """net.step both ways."""
    net, x = network(n), samples(1)[0]
    names = {"step": net.step, "x": x, "y": net.step(x)}
    return [
        Case("net.step(x)", "step(x)", names),
        Case("net.step(x, out=y)", "step(x, out=y)", names),
    ]


def step_cases(n: int) -> list[Case]:
    """net.step both ways, and the peers that are there, each already held to our answers."""
    others = [
        Case(peer.name, "step(x)", {"step": peers.made(peer, network(n)).step, "x": samples(1)[0]})
        for peer in peers.installed()
    ]
    return own_cases(n) + others


def run_case(name: str, net: rtlstm.Network, rows: int) -> Case:
    """net.run over so many rows from rest (a cell without decay grows), into an array there."""
    X = samples(rows, net.spec.inputs)
    names = {"run": net.run, "X": X, "Y": net.run(X), "reset": net.reset}
    return Case(name, "reset(); run(X, out=Y)", names, rows)


def inside(effort: Effort) -> Table:
    """Many steps inside the runtime."""
    table = Table(
        "inside",
        "Inside the runtime, ns a step",
        (
            *("n", "net.run", "median", "C", "product, ours", "product, C"),
            *("run / product", "required", "run / C", *TAIL),
        ),
    )
    for n in effort.sizes:
        found = costs(inside_cases(n), effort.turns, effort.seconds)
        least = {name: cost.least for name, cost in found.items()}
        ours, c = least["run"], least.get("C")
        products = [least["product, ours"], least.get("product, C")]
        limit = min(value for value in products if value is not None)
        ratio = ours / c if c else None
        row = (n, ours, found["run"].median, c, *products, ours / limit, RUN_RATIO.get(n), ratio)
        table.add(*row, *step_tail(network(n), effort.calls))
    table.notes.append(
        "C: tools/benching/step.c, written by hand, its sizes known to the compiler, its answers"
        " held to ours. Product: the matrix-vector product alone, the faster of the two is the"
        " limit."
    )
    return table


def inside_cases(n: int) -> list[Case]:
    """net.run, hand-written C held to its answers, and the products."""
    net, rows = network(n), rows_for(n)
    product = OurProduct(network(n))
    cases = [
        run_case("run", net, rows),
        Case("product, ours", "product(times)", {"product": product.run, "times": rows}, rows),
    ]
    if native.HandWritten.available():
        X, written = samples(rows), native.HandWritten(network(n))
        Y = network(n).run(X)
        peers.agrees("step.c", [written.run(X, Y.copy())], [Y])
        cases += [
            Case("C", "run(X, out=Y)", {"run": written.run, "X": X, "Y": Y}, rows),
            Case("product, C", "product(t)", {"product": written.products, "t": rows}, rows),
        ]
    return cases


def variants(effort: Effort) -> Table:
    """Every other variant against NP's time and its weights."""
    table = Table(
        "variants",
        "net.run of every variant: time / (NP's time × weights / NP's weights)",
        ("variant", *(f"n = {n}" for n in effort.sizes), "required", *TAIL),
    )
    table.notes.append(f"Single calls: net.step at n = {TAIL_UNITS}.")
    ratios: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for n in effort.sizes:
        nets = {name: calm(network(n, variant=name)) for name in ("NP", *VARIANTS)}
        cases = [run_case(name, net, rows_for(n)) for name, net in nets.items()]
        found = costs(cases, effort.turns, effort.seconds)
        for name in VARIANTS:
            share = nets[name].weights / nets["NP"].weights
            ratios[name].append(found[name].least / found["NP"].least / share)
    for name, values in ratios.items():
        net = calm(network(TAIL_UNITS, variant=name))
        table.add(name, *values, RATIO_OF_VARIANTS, *step_tail(net, effort.calls))
    return table


def calm(net: rtlstm.Network) -> rtlstm.Network:
    """The network with small weights, under which cells without squashing functions stay finite."""
    for view in net.parameters.values():
        view *= 0.1
    return net


def bfloat16(effort: Effort) -> Table:
    """Weights in half the bytes."""
    table = Table(
        "bfloat16",
        'net.run with storage="bfloat16"',
        (
            *("n", "float32, ns", "bfloat16, ns", "ratio", "required"),
            *("largest difference of 1,000 answers", "allowed", *TAIL),
        ),
    )
    required = {64: 0.75, 128: 0.6, 256: 0.6}
    for n in effort.sizes:
        net = network(n)
        half = net.stored("bfloat16")
        X = samples(1000)
        difference = float(abs(net.run(X) - half.run(X)).max())
        cases = [run_case("whole", net, rows_for(n)), run_case("half", half, rows_for(n))]
        cost = costs(cases, effort.turns, effort.seconds)
        whole, short = cost["whole"].least, cost["half"].least
        row = (n, whole, short, short / whole, required.get(n), difference, 1e-3)
        table.add(*row, *step_tail(half, effort.calls))
    return table
