"""A plant behind a serial line, whose micro-controller runs the firmware of `real_env/firmware`.

The firmware holds a command, watches limits and lets go when commands stop coming. This side keeps the time:
a command goes out at once, and the reading that ends the control step is asked for so that it is here at
the next tick.
"""

import struct
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import serial

from protos.hds import v1
from real_env.plant import NoReading, PlantLost, PlantSpec, Reading
from real_env.plants.serial_frames import (
    DRIVE,
    HELLO,
    INFO,
    OUTSIDE,
    OVERHEAD,
    POLL,
    READING,
    READY,
    RESET,
    VERSION,
    WATCHDOG,
    Frame,
    FrameParser,
    encode,
)  # fmt: skip

ANSWER_S = 0.05
TRIES = 3
BITS_PER_BYTE = 10
HELLO_S = 3.0
STALL_SHARE = 0.3
"""A reading that is not there this share of the control step after the tick is given up,"""
LATEST_SHARE = 0.1
"""or, if the question was late, this share after the question."""
WRITE_S = 0.5


@dataclass(frozen=True)
class Rig:
    """A rig, as its TOML file describes it.

    Attributes:
        port: the serial device, e.g. /dev/ttyACM0.
        state_names, action_names: as the task has them, in the firmware's order.
        control_dt: control step [s].
        baud: bits per second.
        reset_timeout: how long the plant may take to come to its start [s].
        name: what the plant is called.
    """

    port: str
    state_names: tuple[str, ...]
    action_names: tuple[str, ...]
    control_dt: float
    baud: int = 1_000_000
    reset_timeout: float = 60.0
    name: str = "serial"


def read_rig(path: Path) -> Rig:
    """Return the rig of a TOML file.

    Raises:
        ValueError: naming the file and the entry that is missing, unknown or wrong.
    """
    try:
        given = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"plant 'serial:{path}': {error}") from error
    kinds = {"control_dt": (int, float), "reset_timeout": (int, float), "baud": int, "port": str, "name": str}
    known = [entry.name for entry in fields(Rig)]
    missing = [name for name in known[:4] if name not in given]
    if missing or not set(given) <= set(known):
        unknown = sorted(set(given) - set(known))
        raise ValueError(
            f"plant 'serial:{path}': missing: {missing or 'nothing'}, unknown: {unknown or 'nothing'}; "
            f"entries are {', '.join(known)}"
        )
    for name, value in given.items():
        listed = name not in kinds
        right = (
            isinstance(value, list) and value and all(isinstance(v, str) for v in value)
            if listed
            else isinstance(value, kinds[name]) and (isinstance(value, str) or value > 0)
        )  # fmt: skip
        if not right:
            wanted = (
                "a list of names"
                if listed
                else "a number above 0"
                if name not in {"port", "name"}
                else "text"
            )
            raise ValueError(f"plant 'serial:{path}': {name} must be {wanted}; got {value!r}")
    entries: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in given.items()
    }
    return Rig(**entries)


def from_file(path: Path) -> "SerialPlant":
    """Open the rig of a TOML file.

    Raises:
        ValueError: the file is wrong, or the firmware is another one than it says.
        OSError: the port cannot be opened, or nothing answers there.
    """
    return SerialPlant(read_rig(path))


class SerialPlant:
    """The host's side of the serial protocol."""

    def __init__(self, rig: Rig) -> None:
        """Open the port and greet the firmware.

        Raises:
            ValueError: version, sizes or watchdog of the firmware do not fit the rig.
            OSError: the port cannot be opened, or nothing answers there.
        """
        sizes = len(rig.action_names), len(rig.state_names)
        self._rig = rig
        self._floats = struct.Struct(f"<I{sum(sizes)}f")
        self._command = struct.Struct(f"<{sizes[0]}f")
        self._parser = FrameParser({INFO: 4, READING: self._floats.size})
        self._sequence = 0
        self._next_s = time.monotonic()
        moved = 2 * OVERHEAD + self._floats.size
        self._lead_s = moved * BITS_PER_BYTE / rig.baud
        self.spec = PlantSpec(rig.name, rig.state_names, rig.action_names, rig.control_dt, parameters={})
        try:
            self._port = serial.Serial(rig.port, rig.baud, timeout=0.0, write_timeout=WRITE_S, exclusive=True)
        except serial.SerialException as error:
            in_use = "another program has it open" if "lock" in str(error) else error
            raise OSError(f"the serial port {rig.port} cannot be opened: {in_use}") from error
        try:
            self._greet()
        except BaseException:
            self._port.close()
            raise

    def reset(self) -> Reading:
        """Let the plant go, and wait until it says that it is at its start.

        Raises:
            PlantLost: it does not answer, or does not get there in time.
        """
        self._ask(RESET, READING)
        deadline = time.monotonic() + self._rig.reset_timeout
        while True:
            frame = self._ask(POLL, READING)
            if frame.flags & READY:
                break
            if time.monotonic() > deadline:
                raise PlantLost(
                    f"the plant at {self._rig.port} did not come to its start in "
                    f"{self._rig.reset_timeout:g} s"
                )
            time.sleep(0.01)
        self._next_s = time.monotonic()
        return self._reading(frame)

    def exchange(self, command: np.ndarray) -> Reading:
        """Send the command, and return the reading at the end of the control step.

        Raises:
            NoReading: none came in time; the line or the micro-controller stalls.
            PlantLost: the port is gone.
        """
        self._write(Frame(DRIVE, 0, self._sequence, self._command.pack(*map(float, command))))
        dt, now_s = self._rig.control_dt, time.monotonic()
        self._next_s += dt
        by_s = max(self._next_s, now_s) + STALL_SHARE * dt
        while (left := self._next_s - self._lead_s - time.monotonic()) > 0.0:
            time.sleep(left)
        frame = self._answer(POLL, READING, max(by_s, time.monotonic() + LATEST_SHARE * dt))
        if frame is None:
            raise NoReading(f"no reading came from {self._rig.port} in time")
        return self._reading(frame)

    def close(self) -> None:
        """Let the plant go, and close the port."""
        if self._port.is_open:
            zeros = self._command.pack(*[0.0] * len(self._rig.action_names))
            try:
                self._write(Frame(DRIVE, 0, self._sequence, zeros))
            except OSError:
                pass  # the firmware's watchdog lets go
            finally:
                self._port.close()

    def _greet(self) -> None:
        """Say hello until the firmware answers: some boards start anew when the port is opened."""
        deadline = time.monotonic() + HELLO_S
        while True:
            try:
                version, states, actions, watchdog_ms = self._ask(HELLO, INFO).payload
                break
            except PlantLost:
                if time.monotonic() > deadline:
                    raise
        rig = self._rig
        self.watchdog_s = watchdog_ms * 1e-3
        found = {"protocol version": version, "states": states, "actions": actions}
        wanted = {
            "protocol version": VERSION, "states": len(rig.state_names), "actions": len(rig.action_names)
        }  # fmt: skip
        if found != wanted:
            raise ValueError(f"the firmware at {rig.port} has {found}; the rig's file says {wanted}")
        if watchdog_ms * 1e-3 < 2.0 * rig.control_dt:
            raise ValueError(
                f"the watchdog of the firmware at {rig.port}, {watchdog_ms} ms, must be at least twice the "
                f"control step of {rig.control_dt:g} s, or it would let go between two commands"
            )

    def _reading(self, frame: Frame) -> Reading:
        _, *numbers = self._floats.unpack(frame.payload)
        values = np.array(numbers, np.float32)
        m = len(self._rig.action_names)
        outside, watchdog = bool(frame.flags & OUTSIDE), bool(frame.flags & WATCHDOG)
        cause = v1.END_CAUSE_PLANT_WATCHDOG if watchdog else v1.END_CAUSE_UNSPECIFIED
        cause = v1.END_CAUSE_PLANT_LIMIT if outside else cause
        return Reading(values[m:], outside, values[:m], outside or watchdog, cause)

    def _ask(self, kind: int, answer: int) -> Frame:
        """Send a question; return its answer. A question or an answer that was damaged is asked again."""
        by_s = time.monotonic() + TRIES * (ANSWER_S + self._lead_s)
        frame = self._answer(kind, answer, by_s)
        if frame is None:
            raise PlantLost(
                f"the plant at {self._rig.port} does not answer; its firmware's watchdog lets it go"
            )
        return frame

    def _answer(self, kind: int, answer: int, by_s: float) -> Frame | None:
        """Return the answer to a question, which is asked again until `by_s`; None if there is none."""
        while True:
            self._sequence = (self._sequence + 1) & 0xFFFF
            asked = self._sequence
            self._write(Frame(kind, 0, asked, b""))
            again_s = min(by_s, time.monotonic() + min(ANSWER_S, 0.5 * self._rig.control_dt) + self._lead_s)
            found = self._await(
                lambda frame, asked=asked: frame.kind == answer and frame.sequence == asked, again_s
            )
            if found is not None or time.monotonic() >= by_s:
                return found

    def _await(self, wanted: Callable[[Frame], bool], by_s: float) -> Frame | None:
        """Return the first frame that is wanted, if it comes by `by_s`, or is there already."""
        while (left := by_s - time.monotonic()) > 0.0 or self._waiting():
            try:
                self._port.timeout = max(0.0, left)
                data = self._port.read(max(1, self._port.in_waiting))
            except serial.SerialException as error:
                raise PlantLost(f"the serial port {self._rig.port} failed: {error}") from error
            for frame in self._parser.feed(data):
                if wanted(frame):
                    return frame
        return None

    def _waiting(self) -> int:
        """Return how many bytes have come and were not read."""
        try:
            return self._port.in_waiting
        except OSError as error:
            raise PlantLost(f"the serial port {self._rig.port} failed: {error}") from error

    def _write(self, frame: Frame) -> None:
        try:
            self._port.write(encode(frame))
        except serial.SerialException as error:
            raise PlantLost(f"the serial port {self._rig.port} failed: {error}") from error
