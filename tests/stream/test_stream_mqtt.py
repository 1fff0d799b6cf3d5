"""MQTT without a broker's program: what becomes of messages, and who is let in."""

from __future__ import annotations

import json
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from stream.mqtt_broker import REFUSED, TestBroker

from rtlstm.errors import MissingExtraError, SourceError
from rtlstm.stream import mqtt
from rtlstm.stream.rejects import Rejects

pytest.importorskip("paho.mqtt.client")


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No user, password or certificate of whoever runs the tests."""
    for name in ("USER", "PASSWORD", "PASSWORD_FILE", "CA"):
        monkeypatch.delenv(f"RTLSTM_MQTT_{name}", raising=False)


@pytest.fixture
def broker() -> Iterator[TestBroker]:
    with TestBroker() as made:
        yield made


def connect(url: str) -> mqtt.Broker:
    return mqtt.Broker(mqtt.address_of(url), "me", Rejects("", "skip", None))


def client(broker: TestBroker, user: str = "") -> mqtt.Broker:
    return connect(f"mqtt://{user}127.0.0.1:{broker.port}/plant/#")


def test_messages_are_records_and_acknowledged_when_settled(broker: TestBroker) -> None:
    ours = client(broker)
    for number, payload in enumerate((b'{"a": 1}', b"2.5", b"not json", b"[1]", b'{"a": 3}'), 1):
        broker.send(f"plant/{number}", payload, number)
    records = iter(ours)
    assert next(records) == {"a": 1, "topic1": "plant", "topic2": "1"}
    assert next(records) == {"2": 2.5, "topic1": "plant", "topic2": "2"}
    assert next(records)["a"] == 3 and ours.where == "message on plant/5"
    assert ours._rejects.counts == Counter(bad_payload=2) and ours.text == '{"a": 3}'
    assert broker.acknowledged.empty()
    ours.settle()
    assert [broker.acknowledged.get(timeout=10.0) for _ in range(5)] == [1, 2, 3, 4, 5]
    ours.publish("out", {"y": 1.0}, retain=True)
    topic, payload, retained = broker.published.get(timeout=10.0)
    assert (topic, json.loads(payload), retained) == ("out", {"y": 1.0}, True)
    ours.close()


def test_what_comes_twice_is_known_again(
    broker: TestBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "_KEPT", 2)
    ours = client(broker)
    records = iter(ours)
    broker.send("plant/x", b'{"a": 1}', 1)
    assert next(records)["a"] == 1
    ours.recall({"sequences": {"plant/y": 7}, "digests": list(ours.marks()["digests"])})
    broker.send("plant/x", b'{"a": 1}', 1, again=True)
    for number, sequence in enumerate((6, 7, 8), 2):
        broker.send("plant/y", b'{"seq": %d, "a": 2}' % sequence, number)
    assert next(records) == {"a": 2, "topic1": "plant", "topic2": "y"}
    assert ours.duplicates == 3
    broker.send("plant/x", b'{"a": 4}', 9)
    broker.send("plant/x", b'{"a": 5}', 10)
    assert next(records)["a"] == 4 and next(records)["a"] == 5
    assert len(ours._digests) == 2 and ours.marks()["sequences"] == {"plant/y": 8}
    ours.close()


def test_a_fault_of_the_connection_ends_the_records(broker: TestBroker) -> None:
    ours = client(broker)
    ours._queue.put(OSError("the cable is out"))
    with pytest.raises(SourceError, match=rf"127.0.0.1:{broker.port}/plant/#: the cable is out"):
        next(iter(ours))
    ours.close()


@pytest.mark.parametrize(
    ("answer", "subscribed", "why"),
    [
        (REFUSED, 1, "the broker refuses: Not authorized"),
        (0, REFUSED, "the broker refuses: Not authorized"),
        (None, 1, "closes the connection at once; one that speaks TLS is mqtts://"),
    ],
)
def test_who_is_not_let_in_is_told_why(answer: int | None, subscribed: int, why: str) -> None:
    with TestBroker(answer, subscribed) as broker, pytest.raises(SourceError, match=why):
        client(broker)


def test_a_broker_that_is_not_there_or_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        monkeypatch.setattr(mqtt, "WAIT", 0.2)
        with pytest.raises(SourceError, match="refuses: no answer"):
            connect(f"mqtt://127.0.0.1:{port}/t")
    with pytest.raises(SourceError, match="cannot connect"):
        connect(f"mqtt://127.0.0.1:{port}/t")


def test_user_and_password_come_from_the_environment_or_files(
    broker: TestBroker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("open sesame\n")
    monkeypatch.setenv("RTLSTM_MQTT_PASSWORD_FILE", str(secret))
    with pytest.raises(SourceError, match="a password without a user"):
        client(broker)
    client(broker, user="ali@").close()
    assert b"ali" in broker.connects[0] and broker.connects[0].endswith(b"open sesame")
    monkeypatch.setenv("RTLSTM_MQTT_PASSWORD_FILE", str(tmp_path / "none"))
    with pytest.raises(SourceError, match=r"RTLSTM_MQTT_PASSWORD_FILE: .*none: No such file"):
        client(broker)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho's socket
def test_certificates(broker: TestBroker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    address = f"mqtts://127.0.0.1:{broker.port}/t"
    monkeypatch.setenv("RTLSTM_MQTT_CA", str(tmp_path / "none"))
    with pytest.raises(SourceError, match=r"RTLSTM_MQTT_CA: .*none"):
        connect(address)
    monkeypatch.delenv("RTLSTM_MQTT_CA")
    with pytest.raises(SourceError, match="cannot connect"):  # a broker without TLS
        connect(address)


def test_without_paho_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(MissingExtraError, match=r"rtlstm\[mqtt\]"):
        connect("mqtt://h/t")
