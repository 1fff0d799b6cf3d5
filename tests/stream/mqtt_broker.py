"""A broker of MQTT 5 for tests: one connection at a time, as much of the protocol as paho needs.

OASIS MQTT Version 5.0, section 3. It answers in a thread of its own and notes what it was sent.
"""

from __future__ import annotations

import queue
import socket
import struct
import threading
import time
from contextlib import suppress
from typing import Any, Self

CONNECT, PUBLISH, PUBACK, SUBSCRIBE, PINGREQ, DISCONNECT = 1, 3, 4, 8, 12, 14
ACCEPTED, REFUSED = 0x00, 0x87  # reason codes: success, not authorized


def packet(kind: int, flags: int, body: bytes) -> bytes:
    """A packet: kind and flags, the length of the rest in groups of seven bits, the rest."""
    length, digits = len(body), b""
    while True:
        length, digit = divmod(length, 128)
        digits += bytes([digit | (0x80 if length else 0)])
        if not length:
            return bytes([kind << 4 | flags]) + digits + body


def text(value: str) -> bytes:
    """A string with its length before it."""
    return struct.pack(">H", len(value.encode())) + value.encode()


class TestBroker:
    """A broker on a free port. answer: the reason code of its CONNACK, None to hang up instead.

    pause: seconds that it takes to answer a message.
    """

    __test__ = False

    def __init__(
        self, answer: int | None = ACCEPTED, subscribed: int = 1, pause: float = 0.0
    ) -> None:
        self.answer, self.subscribed, self.pause = answer, subscribed, pause
        self.connects: list[bytes] = []
        self.acknowledged: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.subscriptions: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.published: queue.SimpleQueue[tuple[str, bytes, bool]] = queue.SimpleQueue()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._client: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        self._thread.join(5.0)

    def send(self, topic: str, payload: bytes, number: int, again: bool = False) -> None:
        """Publish a message to the client with QoS 1; again: it is said to come twice."""
        assert self._client is not None
        body = text(topic) + struct.pack(">H", number) + b"\0" + payload
        self._client.sendall(packet(PUBLISH, 0b0010 | again << 3, body))

    def hang_up(self) -> None:
        """Close the connection without a word."""
        if self._client is not None:
            with suppress(OSError):
                self._client.shutdown(socket.SHUT_RDWR)
            self._client.close()

    # ------------------------------------------------------------------ the thread
    def _serve(self) -> None:
        while True:
            try:
                self._client, _ = self._listener.accept()
                self._converse(self._client)
            except (OSError, IndexError, struct.error):  # a connection that ends in a packet
                if self._listener.fileno() < 0:
                    return

    def _converse(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as stream:
            while first := stream.read(1):
                length = shift = 0
                while digit := stream.read(1):
                    length |= (digit[0] & 0x7F) << shift
                    shift += 7
                    if digit[0] < 0x80:
                        break
                if not self._handle(client, first[0] >> 4, first[0] & 15, stream.read(length)):
                    return

    def _handle(self, client: socket.socket, kind: int, flags: int, body: bytes) -> bool:
        """Answer a packet; returns whether the conversation goes on."""
        number: Any = body[:2]
        if kind == CONNECT:
            self.connects.append(body)
            if self.answer is None:
                return False
            client.sendall(packet(2, 0, bytes([0, self.answer, 0])))
            return self.answer == ACCEPTED
        if kind == SUBSCRIBE:
            client.sendall(packet(9, 0, number + b"\0" + bytes([self.subscribed])))
            self.subscriptions.put(body)
        elif kind == PUBACK:
            self.acknowledged.put(struct.unpack(">H", number)[0])
        elif kind == PUBLISH:
            end = 2 + struct.unpack(">H", number)[0]
            topic, rest = body[2:end].decode(), body[end:]
            time.sleep(self.pause)
            client.sendall(packet(PUBACK, 0, rest[:2]))
            self.published.put((topic, rest[3 + rest[2] :], bool(flags & 1)))
        elif kind == PINGREQ:
            client.sendall(packet(13, 0, b""))
        return kind != DISCONNECT
