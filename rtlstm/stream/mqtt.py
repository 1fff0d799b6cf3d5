"""MQTT: messages as records, acknowledged when they are on the disk, and forecasts sent."""

import hashlib
import json
import math
import os
import queue
import ssl
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from rtlstm.errors import MissingExtraError, SourceError
from rtlstm.kernels.frozen import frozen
from rtlstm.stream.records import Record
from rtlstm.stream.rejects import Rejects

WAIT, PARTING = 20.0, 2.0  # seconds for an answer: to a connection, to the last message sent
"""Seconds within which the broker must have answered at first."""
_KEPT = 4096
"""Messages whose digests are kept, to know again those that a broker sends twice."""
_EXPIRY = 7 * 86400
_SEQUENCES = ("seq", "sequence", "seq_no")


@frozen
class Address:
    """Where a broker is and what to subscribe to. Its text never shows a password."""

    host: str
    port: int
    topic: str
    tls: bool
    user: str | None

    def __str__(self) -> str:
        return f"mqtt{'s' * self.tls}://{self.host}:{self.port}/{self.topic}"


def address_of(url: str) -> Address:
    """The address in mqtt://[user@]host[:port]/topic; raises `SourceError` for any other text."""
    scheme, _, rest = url.partition("://")
    place, slash, topic = rest.partition("/")  # a topic may hold #, which a URL may not
    try:
        parts = urlsplit(f"{scheme}://{place}")
        port = parts.port
    except ValueError as fault:
        raise SourceError(f"{scheme}://…: {fault}") from None
    if scheme not in ("mqtt", "mqtts") or not parts.hostname or not slash or not topic:
        raise SourceError("an MQTT source is mqtt://host/topic, mqtts:// with TLS")
    if parts.password is not None:
        raise SourceError(
            "a password in a URL is seen by everybody; put it into the variable"
            " RTLSTM_MQTT_PASSWORD, or a file that RTLSTM_MQTT_PASSWORD_FILE names"
        )
    tls = scheme == "mqtts"
    user = parts.username and unquote(parts.username)
    return Address(parts.hostname, port or (8883 if tls else 1883), topic, tls, user)


class Broker:
    """A connection with a persistent session, QoS 1 and acknowledgement by hand.

    Messages come in a queue that the client's own thread fills. `settle` acknowledges all that were
    taken so far, `marks` says what is needed to know them again when they come twice.
    """

    def __init__(self, address: Address, client: str, rejects: Rejects) -> None:
        self.address = address
        self.name = client
        self._rejects = rejects
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._pending: list[Any] = []
        self._digests: OrderedDict[str, None] = OrderedDict()
        self._sequences: dict[str, float] = {}
        self._last_sent: Any = None
        self.duplicates = 0
        self.text = ""
        self.where = "message"
        self._mqtt = _paho()
        self._client = self._connected()

    # ------------------------------------------------------------------ what comes
    def __iter__(self) -> Iterator[Record]:
        while True:
            message = self._queue.get()
            if isinstance(message, Exception):
                raise SourceError(f"{self.address}: {message}") from message
            record = self._record(message)
            if record is not None:
                yield record

    def _record(self, message: Any) -> Record | None:
        """The fields of a message, None if it has none or came before."""
        self._pending.append(message)
        topic, payload = message.topic, bytes(message.payload)
        self.where = f"message on {topic}"
        self.text = payload[:1000].decode("utf-8", "replace")
        digest = hashlib.blake2b(topic.encode() + b"\0" + payload, digest_size=8).hexdigest()
        fields = _fields(topic, payload)
        if fields is None:
            self._rejects.counts["bad_payload"] += 1
            return None
        sequence = next((fields[key] for key in _SEQUENCES if key in fields), None)
        if isinstance(sequence, int | float):
            if sequence <= self._sequences.get(topic, -math.inf):
                self.duplicates += 1
                return None
            self._sequences[topic] = sequence
            fields = {name: cell for name, cell in fields.items() if name not in _SEQUENCES}
        elif message.dup and digest in self._digests:
            self.duplicates += 1
            return None
        self._digests[digest] = None
        self._digests.move_to_end(digest)
        while len(self._digests) > _KEPT:
            self._digests.popitem(last=False)
        return fields

    # ------------------------------------------------------------------ what is settled
    def settle(self) -> None:
        """Acknowledge every message that was taken: what was learned of them is on the disk."""
        for message in self._pending:
            self._client.ack(message.mid, message.qos)
        self._pending.clear()

    def marks(self) -> dict[str, Any]:
        """What knows the messages taken so far again."""
        recent = list(self._digests)[-len(self._pending) - 64 :]
        return {"sequences": dict(self._sequences), "digests": recent}

    def recall(self, marks: dict[str, Any]) -> None:
        """Know the messages again that an earlier process took."""
        self._sequences.update(marks.get("sequences", {}))
        self._digests.update(dict.fromkeys(marks.get("digests", ())))

    # ------------------------------------------------------------------ what goes
    def publish(self, topic: str, told: dict[str, Any], retain: bool = False) -> None:
        """Send a JSON object."""
        message = json.dumps(told, allow_nan=False)
        self._last_sent = self._client.publish(topic, message, qos=1, retain=retain)

    def close(self) -> None:
        """Send what is still to be sent, and part; the session stays with the broker.

        A socket that closes on an answer it has not read takes back what it has just sent, so the
        broker's word on the last message is waited for.
        """
        if self._last_sent is not None and self._client.is_connected():
            with suppress(ValueError, RuntimeError):  # the queue is full; the connection is gone
                self._last_sent.wait_for_publish(PARTING)
        self._client.disconnect()
        self._client.loop_stop()

    # ------------------------------------------------------------------ the connection
    def _connected(self) -> Any:
        mqtt, address = self._mqtt, self.address
        client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, self.name, protocol=mqtt.MQTTv5, manual_ack=True
        )
        answers = _answers(client, address)
        client.on_message = lambda _, __, message: self._queue.put(message)
        client.reconnect_delay_set(1, 30)
        _identify(client, address)
        properties = mqtt.Properties(mqtt.PacketTypes.CONNECT)
        properties.SessionExpiryInterval, properties.ReceiveMaximum = _EXPIRY, 65535
        try:
            client.connect(
                address.host, address.port, keepalive=30, clean_start=False, properties=properties
            )
            client.loop_start()
            refused = answers.get(timeout=WAIT)
        except queue.Empty:
            refused = "no answer"
        except ssl.SSLCertVerificationError as fault:
            raise SourceError(
                f"{address}: {fault.verify_message or fault}: certificate verify failed;"
                " RTLSTM_MQTT_CA names the file of the certificate that signed the broker's"
            ) from fault
        except (OSError, ValueError) as fault:
            raise SourceError(f"{address}: cannot connect: {fault}") from fault
        if refused:
            client.loop_stop()
            raise SourceError(f"{address}: the broker refuses: {refused}")
        return client


def _answers(client: Any, address: Address) -> queue.SimpleQueue[str]:
    """A queue that gets "" once the client has connected and subscribed, or why it could not."""
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()

    def on_connect(client: Any, _: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            answers.put(str(reason))
            return
        client.subscribe(address.topic, qos=1)

    def on_subscribe(client: Any, _: Any, mid: int, reasons: Any, properties: Any) -> None:
        answers.put(next((str(reason) for reason in reasons if reason.is_failure), ""))

    def on_disconnect(client: Any, _: Any, flags: Any, reason: Any, properties: Any) -> None:
        closes = "it closes the connection at once"  # if it has given no answer before
        answers.put(closes if address.tls else f"{closes}; one that speaks TLS is mqtts://")

    client.on_connect, client.on_subscribe = on_connect, on_subscribe
    client.on_disconnect = on_disconnect
    return answers


def _identify(client: Any, address: Address) -> None:
    """User, password and certificates, from the address, the environment and files."""
    user = address.user or os.environ.get("RTLSTM_MQTT_USER")
    password = os.environ.get("RTLSTM_MQTT_PASSWORD")
    file = os.environ.get("RTLSTM_MQTT_PASSWORD_FILE")
    if password is None and file:
        try:
            password = Path(file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as fault:
            raise _unreadable("RTLSTM_MQTT_PASSWORD_FILE", file, fault) from fault
    if user is not None:
        client.username_pw_set(user, password)
    elif password is not None:
        raise SourceError(
            f"{address}: a password without a user; put the user into RTLSTM_MQTT_USER, or before"
            " the host, as in mqtts://user@host/topic"
        )
    if address.tls:
        file = os.environ.get("RTLSTM_MQTT_CA") or None
        try:
            client.tls_set_context(ssl.create_default_context(cafile=file))
        except OSError as fault:
            raise _unreadable("RTLSTM_MQTT_CA", file, fault) from fault


def _unreadable(variable: str, file: str | None, fault: Exception) -> SourceError:
    """The error of a file that a variable names."""
    reason = getattr(fault, "strerror", None) or fault
    return SourceError(f"{variable}: {file}: {reason}")


def _fields(topic: str, payload: bytes) -> Record | None:
    """A payload's fields; a bare number goes by the last level of its topic."""
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    levels = topic.split("/")
    if isinstance(value, int | float):
        value = {levels[-1] or "value": value}
    if not isinstance(value, dict):
        return None
    texts = {f"topic{k}": level for k, level in enumerate(levels, start=1)}
    return {**value, **{name: text for name, text in texts.items() if name not in value}}


def _paho() -> Any:
    try:
        import paho.mqtt.client as mqtt
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties
    except ImportError as missing:
        raise MissingExtraError(
            "MQTT is spoken through paho-mqtt, which is not installed; "
            "install it with: pip install 'rtlstm[mqtt]'"
        ) from missing
    mqtt.PacketTypes, mqtt.Properties = PacketTypes, Properties
    return mqtt
