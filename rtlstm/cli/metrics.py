"""Figures of a running stream over HTTP, as Prometheus reads them."""

import time
from collections.abc import Iterator
from typing import Any

from rtlstm.cli.run import Run
from rtlstm.cli.scores import scores
from rtlstm.errors import MissingExtraError

_COUNTS = {
    "rows": "Rows learned since the model began.",
    "missing_cells": "Cells that were missing.",
    "faulty_cells": "Cells that were taken for faults.",
    "skipped_updates": "Learning steps that were left out.",
    "times_dropped": "Rows dropped because their time was not after the last.",
    "times_accepted": "Rows taken although their time was not after the last.",
}


class Metrics:
    """Serves the figures of a run on a port of this machine; a context manager.

    rows, missing and faulty cells, late times, skipped updates, skill by target, seconds a row and
    the age of the last checkpoint, and how many failed. Raises `MissingExtraError` without
    prometheus-client, OSError for a port that is taken.
    """

    def __init__(self, run: Run, port: int, host: str = "127.0.0.1") -> None:
        self._run = run
        self._client = _prometheus()
        self._started = time.monotonic()
        self._saved: float | None = None
        run.saved.append(self._note)
        registry = self._client.CollectorRegistry()
        registry.register(self)
        self._server, self._thread = self._client.start_http_server(port, host, registry)
        self.port = int(self._server.server_port)

    def collect(self) -> Iterator[Any]:
        """The figures of this moment; called in the server's thread."""
        core, run = self._client.core, self._run
        health = run.forecaster.health()
        for name, text in _COUNTS.items():
            yield core.CounterMetricFamily(f"rtlstm_{name}", text, value=health[name])
        skill = core.GaugeMetricFamily(
            "rtlstm_skill", "Share of the last value's squared error avoided.", labels=["target"]
        )
        for score in scores(run.forecaster):
            skill.add_metric([score.label], score.skill)
        yield skill
        passed = time.monotonic() - self._started
        yield core.GaugeMetricFamily(
            "rtlstm_row_seconds",
            "Seconds a row, waiting included.",
            value=passed / max(run.rows, 1),
        )
        yield core.GaugeMetricFamily(
            "rtlstm_learning_seconds",
            "Seconds a row spent in learning it.",
            value=run.seconds_a_row,
        )
        age = passed if self._saved is None else time.monotonic() - self._saved
        yield core.GaugeMetricFamily(
            "rtlstm_checkpoint_age_seconds", "Since the model was last written.", value=age
        )

        yield core.CounterMetricFamily(
            "rtlstm_failed_checkpoints",
            "Attempts to write the model that failed.",
            value=run.checkpoints.failed,
        )

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _note(self) -> None:
        self._saved = time.monotonic()


def _prometheus() -> Any:
    try:
        import prometheus_client
        import prometheus_client.core
    except ImportError as missing:
        raise MissingExtraError(
            "--metrics serves through prometheus-client, which is not installed; "
            "install it with: pip install 'rtlstm[ops]'"
        ) from missing
    return prometheus_client
