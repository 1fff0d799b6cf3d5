"""A run over MQTT: acknowledged when saved, forecasts published, found by Home Assistant."""

import hashlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtlstm.cli.run import Run
from rtlstm.errors import StorageError
from rtlstm.files import atomic
from rtlstm.stream import Options, Sample
from rtlstm.stream.clock import shown_moment
from rtlstm.stream.mqtt import Broker, address_of
from rtlstm.stream.records import RecordSource
from rtlstm.stream.rejects import Rejects

if TYPE_CHECKING:
    from rtlstm.models.forecaster import Forecast, Forecaster

MARKS = 2
"""Checkpoints whose marks are kept: the one on the disk, and the one being written."""


class MqttSource(RecordSource):
    """The messages of a broker as a source of samples; `broker` sends the answers."""

    def __init__(
        self, url: str, options: Options, save: Path | None, old: "Forecaster | None"
    ) -> None:
        address = address_of(url)
        own = hashlib.blake2b(f"{address} {save and save.resolve()}".encode(), digest_size=6)
        rejects = Rejects(str(address), "skip", None)
        self.marks = Marks(save)
        self.broker = Broker(address, f"rtlstm-{own.hexdigest()}", rejects)
        if old is not None:
            self.broker.recall(self.marks.of(old.rows))
            self.marks.settle(old.rows)
        click.echo(f"rtlstm: listening to {address}", err=True)
        super().__init__(self.broker, rejects, options, live=True, close=self.broker.close)


class Marks:
    """Beside a model, MODEL.mqtt.json: which messages the checkpoints of it cover, by their rows.

    It is written before the model, with the marks of the model on the disk, so that whichever of
    the two models a kill or a full disk leaves has its marks.
    """

    def __init__(self, save: Path | None) -> None:
        self._path = save and save.with_name(f"{save.name}.mqtt.json")
        self._marks: dict[str, Any] = {}
        self._stands: str | None = None
        if self._path is not None and self._path.exists():
            try:
                self._marks = dict(json.loads(self._path.read_text()))
            except (OSError, ValueError) as fault:
                raise StorageError(None, f"cannot be read: {fault}", str(self._path)) from fault

    def of(self, rows: int) -> dict[str, Any]:
        """The marks of the model that has learned so many rows."""
        return dict(self._marks.get(str(rows), {}))

    def settle(self, rows: int) -> None:
        """The model that has learned so many rows is the one on the disk."""
        self._stands = str(rows)

    def write(self, rows: int, marks: dict[str, Any]) -> None:
        """Keep the marks of the model that is written next."""
        kept = {key: value for key, value in self._marks.items() if key != str(rows)}
        newest = sorted(kept, key=int)[1 - MARKS :]
        if self._stands in kept:
            newest = [self._stands]
        self._marks = {**{key: kept[key] for key in newest}, str(rows): marks}
        if self._path is not None:
            atomic.replace(self._path, [json.dumps(self._marks).encode()])


def attend(run: Run, source: MqttSource, publish: str | None, home_assistant: bool) -> None:
    """Have a run acknowledge its messages when they are on the disk, and publish its forecasts."""
    broker, saves = source.broker, run.outputs.save is not None

    def mark() -> None:
        source.marks.write(run.forecaster.rows, broker.marks())

    def settle() -> None:
        source.marks.settle(run.forecaster.rows)
        broker.settle()

    def send(sample: Sample, forecast: "Forecast") -> None:
        if publish is not None:
            broker.publish(publish, forecast_message(run.forecaster, sample.time, forecast))
        if not saves:
            broker.settle()

    run.after.append(send)
    if saves:
        run.saving.append(mark)
        run.saved.append(settle)
    if publish is not None and home_assistant:
        for topic, config in discovery(run.forecaster, publish, broker.name):
            broker.publish(topic, config, retain=True)


def forecast_message(
    forecaster: "Forecaster", time: float | None, forecast: "Forecast"
) -> dict[str, Any]:
    """A forecast as plain JSON: null where there is none."""
    names = [f"{t}+{h}" for h in forecaster.horizons for t in forecaster.targets]
    parts = {
        "forecast": forecast.values, "lower": forecast.lower, "upper": forecast.upper,
    }  # fmt: skip
    return {
        "time": None if time is None else shown_moment(time),
        **{
            part: {name: _plain(value) for name, value in zip(names, array.ravel().tolist())}
            for part, array in parts.items()
        },
        "anomaly": _plain(forecast.anomaly),
    }


def _plain(value: float) -> float | None:
    return float(f"{value:.9g}") if math.isfinite(value) else None


def discovery(
    forecaster: "Forecaster", publish: str, name: str
) -> list[tuple[str, dict[str, Any]]]:
    """Retained messages by which Home Assistant finds the forecasts as sensors."""
    device = {"identifiers": [name], "name": f"rtlstm {publish}", "manufacturer": "rtlstm"}
    found = []
    values = [
        (f"{t}+{h}", f"value_json.forecast['{t}+{h}']")
        for h in forecaster.horizons
        for t in forecaster.targets
    ]
    for label, template in [*values, ("anomaly", "value_json.anomaly")]:
        own = "".join(c if c.isalnum() else "_" for c in label)
        config = {
            "name": label,
            "unique_id": f"{name}_{own}",
            "state_topic": publish,
            "value_template": f"{{{{ {template} }}}}",
            "state_class": "measurement",
            "device": device,
        }
        found.append((f"homeassistant/sensor/{name}/{own}/config", config))
    return found
