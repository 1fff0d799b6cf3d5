"""The plans of a model as a page: every slot's name, value, buffer, shape and meaning."""

from collections.abc import Iterator
from typing import Any

from rtlstm.kernels import plan as p
from rtlstm.kernels.slots import Slot, SlotTable
from rtlstm.layouts.arena import ArenaLayout
from rtlstm.layouts.learner import LearnerSpec
from rtlstm.layouts.network import network, record
from rtlstm.spec import NetworkSpec

HEADINGS = ("slot", "value", "buffer", "shape", "meaning")


def plan_pages(kind: str, spec: Any) -> Iterator[str]:
    """The lines of all plans of a model of this kind and specification, a heading before each."""
    for title, plan, slots in _plans(kind, spec):
        rows = [
            HEADINGS,
            *((s.name, str(plan[s.value]), s.buffer, s.shape, s.meaning) for s in slots),
        ]
        widths = [max(map(len, column)) for column in zip(*rows)]
        yield f"# {title}"
        for row in rows:
            yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
        yield ""


def _plans(kind: str, spec: Any) -> Iterator[tuple[str, Any, list[Slot]]]:
    if kind == "network":
        yield from _network(spec, network(spec, ArenaLayout()).plan)
    elif kind == "learner":
        yield from _learner(spec)
    elif kind == "fleet":
        yield from _learner(spec.learner)
    elif kind == "detector":
        yield from _plans("forecaster", spec.forecaster)
    elif kind == "forecaster":
        from rtlstm.kernels.tasks import forecast_plan
        from rtlstm.layouts import forecaster

        yield _table(forecast_plan.HEADER, forecaster.lay_out(spec).plan)
        yield from _learner(spec.learner)
    else:
        from rtlstm.kernels.tasks import stream_plan, supervised_plan
        from rtlstm.layouts import supervised

        made = supervised.lay_out(spec, kind == "regressor")
        yield _table(supervised_plan.HEADER, made.plan)
        yield "plan of the labels", made.lab, stream_plan.STREAM.slots
        yield from _learner(spec.learner)


def _table(table: SlotTable, plan: Any) -> tuple[str, Any, list[Slot]]:
    return table.title, plan, table.slots


def _learner(spec: LearnerSpec) -> Iterator[tuple[str, Any, list[Slot]]]:
    from rtlstm.layouts import learner

    yield from _network(spec.network, learner.lay_out(spec).plan)


def _network(spec: NetworkSpec, plan: Any) -> Iterator[tuple[str, Any, list[Slot]]]:
    yield _table(p.HEADER, plan)
    for number in range(len(spec.layers)):
        yield f"{p.RECORD.title} {number}", record(plan, number), p.RECORD.slots + p.GROUP_SLOTS
