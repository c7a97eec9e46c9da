"""Frames of the serial protocol, as `real_env/firmware/hds_protocol.h` writes them down."""

import binascii
import struct
from collections.abc import Iterator
from typing import NamedTuple

VERSION = 1
HELLO, RESET, DRIVE, POLL = 0x01, 0x02, 0x03, 0x04
INFO, READING = 0x81, 0x82
READY, OUTSIDE, WATCHDOG, LIMITED = 1, 2, 4, 8
SYNC = b"\xa5\x5a"
_HEADER = struct.Struct("<BBH")
_CRC = struct.Struct("<H")
OVERHEAD = len(SYNC) + _HEADER.size + _CRC.size


class Frame(NamedTuple):
    """One frame; `sequence` modulo 2^16."""

    kind: int
    flags: int
    sequence: int
    payload: bytes


def encode(frame: Frame) -> bytes:
    """Return the bytes of `frame`."""
    body = _HEADER.pack(frame.kind, frame.flags, frame.sequence & 0xFFFF) + frame.payload
    return SYNC + body + _CRC.pack(binascii.crc_hqx(body, 0xFFFF))


class FrameParser:
    """Finds frames in a stream of bytes. Garbage and damaged frames are skipped, and counted by the byte.

    `payloads` holds the kinds to look for and the sizes of their payloads [bytes].
    """

    def __init__(self, payloads: dict[int, int]) -> None:
        self._lengths = {kind: OVERHEAD + size for kind, size in payloads.items()}
        self._bytes = bytearray()
        self.skipped = 0

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Add what came; yield the frames that are whole by now."""
        self._bytes += data
        while (frame := self._next()) is not None:
            yield frame

    def clear(self) -> None:
        """Forget the beginning of a frame."""
        self._bytes.clear()

    def _next(self) -> Frame | None:
        while True:
            at = self._bytes.find(SYNC)
            if at < 0:
                at = len(self._bytes) - self._bytes.endswith(SYNC[:1])
            self._skip(at)
            if len(self._bytes) <= len(SYNC):
                return None
            length = self._lengths.get(self._bytes[len(SYNC)])
            if length is not None and len(self._bytes) < length:
                return None
            if length is not None:
                body, crc = bytes(self._bytes[len(SYNC) : length - 2]), self._bytes[length - 2 : length]
                if _CRC.unpack(crc)[0] == binascii.crc_hqx(body, 0xFFFF):
                    del self._bytes[:length]
                    kind, flags, sequence = _HEADER.unpack(body[: _HEADER.size])
                    return Frame(kind, flags, sequence, body[_HEADER.size :])
            self._skip(1)

    def _skip(self, count: int) -> None:
        self.skipped += count
        del self._bytes[:count]
