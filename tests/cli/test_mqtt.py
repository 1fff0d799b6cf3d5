"""MQTT with a real broker: nothing lost, nothing twice, answers in JSON."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli.running import Done, run
from stream.mqtt_broker import TestBroker

import rtlstm
from rtlstm.cli.mqtt_run import Marks
from rtlstm.errors import SourceError
from rtlstm.stream.mqtt import address_of

mqtt = pytest.importorskip("paho.mqtt.client")
BROKER = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
needs_broker = pytest.mark.skipif(BROKER is None, reason="needs Debian's mosquitto")
TOOLS = [shutil.which("openssl"), shutil.which("mosquitto_passwd")]
needs_tools = pytest.mark.skipif(None in TOOLS, reason="needs openssl and mosquitto_passwd")
SECRET = "Zwölf Boxkämpfer 12"


class Mosquitto:
    """A broker on a free port, which can be killed and started again."""

    def __init__(self, folder: Path, *lines: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.config = folder / "mosquitto.conf"
        text = [
            f"listener {self.port} 127.0.0.1",
            "persistence true",
            "autosave_interval 1",
            "autosave_on_changes true",
            f"persistence_location {folder}/",
            "user root",
        ]
        self.config.write_text("\n".join([*text, *(lines or ["allow_anonymous true"])]) + "\n")
        self.start()

    def start(self) -> None:
        assert BROKER
        self.process = subprocess.Popen([BROKER, "-c", self.config], stderr=subprocess.DEVNULL)
        wait_for(lambda: socket.create_connection(("127.0.0.1", self.port)).close() or True)

    def stop(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait()


def wait_for(happened: Callable[[], Any], seconds: float = 40.0) -> Any:
    end = time.monotonic() + seconds
    while True:
        try:
            if found := happened():
                return found
        except OSError:
            pass
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    started = Mosquitto(tmp_path)
    yield started
    started.stop()


class Peer:
    """Another client: publishes, and keeps what it hears.

    certificate: of a broker that speaks TLS; the peer is then "ann", with her password.
    """

    def __init__(self, port: int, *topics: str, certificate: Path | None = None) -> None:
        self.heard: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        if certificate is not None:
            self.client.tls_set(str(certificate))
            self.client.username_pw_set("ann", SECRET)
        self.client.on_message = lambda _, __, m: self.heard.put((m.topic, json.loads(m.payload)))
        self.client.connect("127.0.0.1", port)
        for topic in topics:
            self.client.subscribe(topic, qos=1)
        self.client.loop_start()

    def send(self, topic: str, value: Any) -> None:
        self.client.publish(topic, json.dumps(value), qos=1).wait_for_publish(20)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def row(i: int) -> dict[str, Any]:
    return {"seq": i, "time": 1_700_000_000 + 60 * i, "t": i % 7, "h": i % 5 if i % 9 else None}


def service(
    port: int, folder: Path, *words: object, scheme: str = "mqtt", **environment: object
) -> subprocess.Popen[bytes]:
    command = [
        *(sys.executable, "-m", "rtlstm", "stream", f"{scheme}://127.0.0.1:{port}/yard/#"),
        *("--resume-or-start", folder / "m", "--every", 5, "--columns", "t,h", "--hidden", 4),
        *words,
    ]
    env = {**os.environ, **{name: str(value) for name, value in environment.items()}}
    return subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, env=env)


def said(process: subprocess.Popen[bytes], word: bytes) -> None:
    """Read on until the process has said a word."""
    assert process.stderr
    for line in process.stderr:
        if word in line:
            return
    raise AssertionError(f"it did not say {word!r}")


def clean(rows: int, path: Path) -> bytes:
    """The file of a run that nothing disturbed."""
    model = rtlstm.Forecaster(["t", "h"], layers=[rtlstm.LSTM(4)])
    for i in range(rows):
        model.update([row(i)["t"], row(i)["h"]], row(i)["time"])
    model.save(path)
    return path.read_bytes()


def fed(broker: TestBroker, rows: range, *words: object) -> Done:
    """A command of this process, which learns these rows as soon as it has subscribed."""

    def feed() -> None:
        broker.subscriptions.get(timeout=60)
        for number, i in enumerate(rows, start=1):
            broker.send("yard/shed", json.dumps(row(i)).encode(), number)

    feeder = threading.Thread(target=feed)
    feeder.start()
    done = run(f"mqtt://127.0.0.1:{broker.port}/yard/#", *words)
    feeder.join()
    return done


@pytest.mark.parametrize("pause", [0.0, 0.05])
def test_messages_are_learned_once_and_acknowledged_when_saved(
    pause: float, tmp_path: Path
) -> None:
    """Also by a broker that still answers forecasts when the service wants to part."""
    model = tmp_path / "m"
    more = ("--publish", "told", "--home-assistant", "--columns", "t,h", "--hidden", 4)
    with TestBroker(pause=pause) as broker:
        done = fed(broker, range(6), "--save", model, "--every", 4, "--limit", 6, *more)
        assert done.returncode == 0 and b"listening to mqtt://127.0.0.1" in done.stderr
        assert [broker.acknowledged.get(timeout=10) for _ in range(6)] == [1, 2, 3, 4, 5, 6]
        topics = [broker.published.get(timeout=10)[0] for _ in range(9)]
        assert topics.count("told") == 6
        assert all(topic.startswith("homeassistant/sensor/") for topic in topics[:3])
        again = fed(broker, range(3, 9), "--resume", model, "--save", model, "--limit", 3)
        assert again.returncode == 0, again.stderr
    assert rtlstm.load(model).rows == 9
    assert set(json.loads((tmp_path / "m.mqtt.json").read_text())) >= {"9"}


@needs_broker
def test_messages_are_learned_and_answered(broker: Mosquitto, tmp_path: Path) -> None:
    peer = Peer(broker.port, "told", "homeassistant/#")
    words = ("--publish", "told", "--home-assistant", "--limit", 6)
    with service(broker.port, tmp_path, *words) as process:
        said(process, b"listening")
        for i in range(6):
            peer.send("yard/shed", row(i))
        assert process.wait(60) == 0
        assert process.stderr
        errors = process.stderr.read()
    heard = [peer.heard.get(timeout=20) for _ in range(9)]
    peer.close()
    configs = [told for topic, told in heard if topic.startswith("homeassistant/sensor/")]
    assert {config["name"] for config in configs} == {"t+1", "h+1", "anomaly"}
    assert all(config["state_topic"] == "told" for config in configs)
    answers = [told for topic, told in heard if topic == "told"]
    assert len(answers) == 6
    assert answers[0]["time"] == "2023-11-14T22:13:20Z"
    assert answers[0]["forecast"]["h+1"] is None or isinstance(answers[0]["forecast"]["h+1"], float)
    assert rtlstm.load(tmp_path / "m").rows == 6
    assert rtlstm.load(tmp_path / "m").snapshot()
    assert b"password" not in errors


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[Mosquitto, Path]]:
    """A broker that speaks TLS alone and lets "ann" in, and its certificate."""
    openssl, passwd = TOOLS
    folder = tmp_path / "broker"
    folder.mkdir()
    key, certificate, known = (folder / name for name in ("key.pem", "cert.pem", "known"))
    made = [
        *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
        *("-nodes", "-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"),
        *("-keyout", key, "-out", certificate),
    ]
    for words in (made, [passwd, "-b", "-c", known, "ann", SECRET]):
        subprocess.run(list(map(str, words)), check=True, capture_output=True)
    lines = ("allow_anonymous false", f"password_file {known}", f"certfile {certificate}")
    started = Mosquitto(folder, *lines, f"keyfile {key}")
    yield started, certificate
    started.stop()


@needs_broker
@needs_tools
def test_a_broker_with_tls_and_a_password(guarded: tuple[Mosquitto, Path], tmp_path: Path) -> None:
    """The password comes from a file; nothing that is said or kept has it."""
    broker, certificate = guarded
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n", encoding="utf-8")
    trust = {"RTLSTM_MQTT_CA": certificate, "RTLSTM_MQTT_USER": "ann"}
    words = ("--publish", "told", "--limit", 6)
    told = {"scheme": "mqtts", **trust, "RTLSTM_MQTT_PASSWORD_FILE": secret}
    peer = Peer(broker.port, "told", certificate=certificate)
    with service(broker.port, tmp_path, *words, **told) as process:
        said(process, b"listening")
        for i in range(6):
            peer.send("yard/shed", row(i))
        assert process.wait(60) == 0
        assert process.stderr
        assert SECRET not in process.stderr.read().decode()
    assert [peer.heard.get(timeout=20)[0] for _ in range(6)] == ["told"] * 6
    peer.close()
    assert rtlstm.load(tmp_path / "m").rows == 6
    for path in tmp_path.glob("m*"):
        assert SECRET.encode() not in path.read_bytes()


@needs_broker
@needs_tools
def test_a_broker_that_does_not_let_one_in(guarded: tuple[Mosquitto, Path], tmp_path: Path) -> None:
    """Each reason is one line, which names it and never the password."""
    broker, certificate = guarded
    own, user = {"RTLSTM_MQTT_CA": certificate}, {"RTLSTM_MQTT_USER": "ann"}
    wrong = {"RTLSTM_MQTT_PASSWORD": SECRET[::-1]}
    for scheme, environment, reason in (
        ("mqtts", {**own, **user, **wrong}, "refuses: Not authorized"),
        ("mqtts", own, "refuses: Not authorized"),
        ("mqtts", {**user, **wrong}, "certificate verify failed"),
        ("mqtts", {"RTLSTM_MQTT_CA": tmp_path / "none"}, "none: No such file"),
        ("mqtts", {**user, "RTLSTM_MQTT_PASSWORD_FILE": tmp_path / "none"}, "none: No such file"),
        ("mqtts", wrong, "RTLSTM_MQTT_USER"),
        ("mqtt", {**user, **wrong}, "mqtts://"),
    ):
        with service(broker.port, tmp_path, scheme=scheme, **environment) as process:
            assert process.wait(60) == 1
            assert process.stderr
            text = process.stderr.read().decode()
        assert reason in text and text.count("\n") == 1, text
        assert SECRET[::-1] not in text
    assert not (tmp_path / "m").exists()


@needs_broker
def test_kills_of_client_and_broker_end_with_the_state_of_a_clean_run(
    broker: Mosquitto, tmp_path: Path
) -> None:
    """What a broker that was killed has lost is sent again, and what it kept comes twice.

    RTLSTM_KILLS: how many; a soak has 50.
    """
    process, sent = service(broker.port, tmp_path), 0
    said(process, b"listening")
    for kill in range(int(os.environ.get("RTLSTM_KILLS", "3"))):
        sent += 7
        send_until_saved(broker.port, tmp_path, sent)
        if kill % 2:
            broker.stop(signal.SIGKILL)
            broker.start()
        else:
            process.kill()
            process.communicate()
            process = service(broker.port, tmp_path)
    sent += 5
    send_until_saved(broker.port, tmp_path, sent)
    time.sleep(1.0)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert rows_of(tmp_path) == sent
    assert (tmp_path / "m").read_bytes() == clean(sent, tmp_path / "clean")


def send_until_saved(port: int, folder: Path, rows: int) -> None:
    """Send what is not saved yet, again and again, until all but a part of a checkpoint is."""
    peer = Peer(port)

    def saved() -> bool:
        for i in range(rows_of(folder), rows):
            peer.send("yard/shed", row(i))
        time.sleep(0.3)
        return rows_of(folder) > rows - 5

    wait_for(saved)
    peer.close()


def rows_of(folder: Path) -> int:
    path = folder / "m"
    return rtlstm.load(path).rows if path.exists() else 0


def test_addresses_and_what_is_wrong_with_them() -> None:
    found = address_of("mqtts://ann@host.example/a/+/#")
    assert (found.host, found.port, found.topic, found.user) == (
        "host.example",
        8883,
        "a/+/#",
        "ann",
    )
    assert str(address_of("mqtt://host:99/a")) == "mqtt://host:99/a"
    with pytest.raises(SourceError, match="RTLSTM_MQTT_PASSWORD") as refused:
        address_of("mqtt://ann:secret@host/a")
    assert "secret" not in str(refused.value)
    for url in ("mqtt://host", "mqtt:///a", "http://host/a", "mqtt://host:x/a"):
        with pytest.raises(SourceError):
            address_of(url)


def test_marks_belong_to_the_model_that_is_there(tmp_path: Path) -> None:
    marks = Marks(tmp_path / "m")
    for rows in (10, 20, 30):
        marks.write(rows, {"sequences": {"a": rows}})
    again = Marks(tmp_path / "m")
    assert again.of(30) == {"sequences": {"a": 30}}
    assert again.of(20) == {"sequences": {"a": 20}}
    assert again.of(10) == {}


def test_without_a_broker_it_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with service(port, tmp_path) as process:
        assert process.wait(60) == 1
        assert process.stderr
        told = process.stderr.read().decode()
    assert told.count("\n") == 1 and "cannot connect" in told
    assert os.listdir(tmp_path) == []
