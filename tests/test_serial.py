"""The serial protocol in Python and C, and the firmware on a simulated pendulum over a pseudo-terminal."""

import contextlib
import ctypes
import os
import pty
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protos.hds import v1
from real_env.plant import NoReading, PlantLost
from real_env.plants import make_plant, serial_frames
from real_env.plants.serial_frames import DRIVE, HELLO, INFO, POLL, READING, RESET, Frame, FrameParser, encode
from real_env.plants.serial_line import SerialPlant, read_rig
from tests.support.firmware import protocol_library, rig_file, simulated_pendulum

COMMANDS = {HELLO: 0, RESET: 0, DRIVE: 4, POLL: 0}
ANSWERS = {INFO: 4, READING: 24}


class Parser(ctypes.Structure):
    _fields_ = (("bytes", ctypes.c_uint8 * 12), ("count", ctypes.c_uint8))


class Command(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_uint8), ("sequence", ctypes.c_uint16), ("u", ctypes.c_float * 1))


class Firmware:
    """The parser in C."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library, self._parser = library, Parser()

    def feed(self, data: bytes) -> list[tuple[int, int]]:
        found, command = [], Command()
        for byte in data:
            self._library.hds_push(ctypes.byref(self._parser), byte)
            while self._library.hds_next(ctypes.byref(self._parser), ctypes.byref(command)):
                found.append((command.kind, command.sequence))
        return found


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return protocol_library(tmp_path_factory.mktemp("firmware"))


def commands(u: float = 0.5) -> Iterator[Frame]:
    for kind, size in COMMANDS.items():
        yield Frame(kind, 0, 1000 + kind, np.float32(u).tobytes()[:size])


frames = st.builds(
    lambda kind, sequence, payload: encode(Frame(kind, 0, sequence, payload[: COMMANDS[kind]])),
    st.sampled_from(sorted(COMMANDS)), st.integers(0, 0xFFFF), st.binary(min_size=4, max_size=4),
)  # fmt: skip
pieces = st.one_of(
    st.binary(max_size=20),
    frames,
    frames.map(lambda data: data[:-1]),
    st.tuples(frames, st.integers(0, 7), st.integers(1, 255)).map(
        lambda t: bytes(b ^ t[2] if i == t[1] else b for i, b in enumerate(t[0]))
    ),
    st.just(serial_frames.SYNC),
)


@settings(max_examples=2_000, deadline=None)
@given(garbage=st.lists(pieces, max_size=8), cuts=st.integers(1, 9))
def test_whatever_comes_python_and_c_find_the_same_commands_and_later_ones(
    garbage: list[bytes], cuts: int, library: ctypes.CDLL
) -> None:
    firmware, parser = Firmware(library), FrameParser(COMMANDS)
    data = b"".join(garbage) + b"".join(map(encode, commands())) + b"\0" * 12
    ours = []
    for at in range(0, len(data), cuts):
        ours += parser.feed(data[at : at + cuts])
    found = [(frame.kind, frame.sequence) for frame in ours]
    assert found == firmware.feed(data)
    # Garbage that passes a CRC of 16 bits by chance, together with the next frame's first bytes, reads as a
    # command and takes what it runs into with it: at most the next two frames.
    assert found[-2:] == [(kind, 1000 + kind) for kind in list(COMMANDS)[-2:]]


@settings(max_examples=300, deadline=None)
@given(garbage=st.binary(max_size=40).filter(lambda data: serial_frames.SYNC[:1] not in data))
def test_garbage_without_the_mark_of_a_frame_loses_no_frame_at_all(
    garbage: bytes, library: ctypes.CDLL
) -> None:
    data = garbage.join([b"", *map(encode, commands()), b""])
    found = [(frame.kind, frame.sequence) for frame in FrameParser(COMMANDS).feed(data)]
    assert found == Firmware(library).feed(data) == [(kind, 1000 + kind) for kind in COMMANDS]


@pytest.mark.slow
@settings(max_examples=120_000, deadline=None)
@given(garbage=st.lists(pieces, max_size=4), cuts=st.integers(1, 9))
def test_a_hundred_thousand_inputs_neither_crash_nor_hang_nor_fool_the_parsers(
    garbage: list[bytes], cuts: int, library: ctypes.CDLL
) -> None:
    test = test_whatever_comes_python_and_c_find_the_same_commands_and_later_ones
    test.hypothesis.inner_test(garbage, cuts, library)  # pyright: ignore[reportFunctionMemberAccess]


@given(frame=frames, at=st.integers(0, 95), width=st.integers(1, 16))
@settings(max_examples=500, deadline=None)
def test_a_burst_of_up_to_16_wrong_bits_is_found(frame: bytes, at: int, width: int) -> None:
    burst = ((1 << width) - 1) << (at % (8 * len(frame) - width + 1))
    damaged = (int.from_bytes(frame, "little") ^ burst).to_bytes(len(frame), "little")
    whole = [f for f in FrameParser(COMMANDS).feed(damaged + b"\0" * 12) if encode(f) != frame]
    assert whole == []


def test_the_check_value_of_the_crc_is_the_published_one(library: ctypes.CDLL) -> None:
    assert library.hds_crc(b"123456789", 9) & 0xFFFF == 0x29B1
    body = encode(Frame(HELLO, 0, 7, b""))
    assert library.hds_crc(body[2:-2], len(body) - 4) & 0xFFFF == int.from_bytes(body[-2:], "little")


@pytest.fixture
def line(tmp_path: Path) -> Iterator[str]:
    with simulated_pendulum(tmp_path) as line:
        yield line


def plant_on(line: str, directory: Path, **changed: object) -> SerialPlant:
    return SerialPlant(read_rig(rig_file(directory, line, **changed)))


def test_the_firmware_is_greeted_driven_and_held_to_its_limits(line: str, tmp_path: Path) -> None:
    plant = plant_on(line, tmp_path)
    first = plant.reset()
    assert first.x[1] == pytest.approx(np.pi, abs=0.61)
    pushed = [plant.exchange(np.array([0.8], np.float32)) for _ in range(5)]
    assert pushed[-1].x[0] > first.x[0] + 0.03
    assert pushed[-1].u_applied == pytest.approx([0.8])
    beyond = plant.exchange(np.array([3.0], np.float32))
    assert beyond.u_applied == [1.0]
    assert plant.exchange(np.array([np.nan], np.float32)).u_applied == [0.0]
    plant.close()


def test_control_steps_last_as_long_as_they_should(line: str, tmp_path: Path) -> None:
    plant = plant_on(line, tmp_path)
    plant.reset()
    began = time.monotonic()
    for _ in range(25):
        with contextlib.suppress(NoReading):  # on a busy machine the simulated firmware may stall
            plant.exchange(np.zeros(1, np.float32))
    took = time.monotonic() - began
    assert took > 0.97
    plant.close()


def test_the_watchdog_lets_the_plant_go_until_it_is_reset(line: str, tmp_path: Path) -> None:
    plant = plant_on(line, tmp_path)
    plant.reset()
    alive = plant.exchange(np.array([0.5], np.float32))
    assert not alive.terminated
    plant._next_s += 0.2  # the host falls silent for longer than the watchdog waits
    late = plant.exchange(np.array([0.5], np.float32))
    assert late.cause == v1.END_CAUSE_PLANT_WATCHDOG
    assert (late.terminated, late.ended) == (False, True)
    assert late.u_applied == [0.0]
    assert plant.exchange(np.array([0.5], np.float32)).u_applied == [0.0], "a late command does not undo it"
    assert plant.reset().cause == v1.END_CAUSE_UNSPECIFIED
    assert plant.exchange(np.array([0.5], np.float32)).u_applied == [0.5]
    plant.close()


def test_beyond_its_limits_the_firmware_lets_go_by_itself(line: str, tmp_path: Path) -> None:
    plant = plant_on(line, tmp_path)
    plant.reset()
    after = plant.exchange(np.ones(1, np.float32))
    for _ in range(100):
        if not after.terminated:
            after = plant.exchange(np.ones(1, np.float32))
    assert after.terminated
    assert after.cause == v1.END_CAUSE_PLANT_LIMIT
    assert abs(after.x[0]) > 4.0
    assert plant.exchange(np.ones(1, np.float32)).u_applied == [0.0]
    plant.close()


def test_noise_on_the_line_costs_a_question_and_no_more(line: str, tmp_path: Path) -> None:
    plant = plant_on(line, tmp_path)
    plant.reset()
    noise = np.random.default_rng(0)
    for k in range(10):
        plant._port.write(noise.bytes(7) + serial_frames.SYNC + bytes([DRIVE]))
        after = plant.exchange(np.array([0.1 * k], np.float32))
        assert np.all(np.isfinite(after.x))
        assert not after.terminated
    plant.close()


def test_a_line_on_which_nobody_answers_is_named(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    with pytest.raises(PlantLost, match="does not answer"):
        plant_on(os.ttyname(slave), tmp_path)
    os.close(master)
    os.close(slave)
    with pytest.raises(OSError, match=r"the serial port /dev/absent cannot be opened"):
        plant_on("/dev/absent", tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"control_dt": 0.06}, "watchdog of the firmware .* 100 ms, must be at least twice the control step"),
        ({"action_names": ["a", "b"]}, "the rig's file says .*'actions': 2"),
        ({"control_dt": -1}, "control_dt must be a number above 0; got -1"),
        ({"baud": "fast"}, "baud must be a number above 0; got 'fast'"),
        ({"state_names": "x"}, "state_names must be a list of names; got 'x'"),
        ({"colour": 3}, r"unknown: \['colour'\]"),
    ],
)
def test_a_rig_that_does_not_fit_is_told_what_is_wrong(
    changed: dict, message: str, line: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        make_plant(f"serial:{rig_file(tmp_path, line, **changed)}", seed=0)


def test_the_firmware_does_not_compile_with_a_slower_watchdog(tmp_path: Path) -> None:
    compiling = simulated_pendulum(tmp_path, "-DHDS_WATCHDOG_MS=101")
    with pytest.raises(AssertionError, match="must be in 1 to 100"), compiling:
        pass


def test_a_serial_line_is_opened_by_one_program_at_a_time(line: str, tmp_path: Path) -> None:
    first = plant_on(line, tmp_path)
    with pytest.raises(
        OSError, match=f"the serial port {line} cannot be opened: another program has it open"
    ):
        plant_on(line, tmp_path)
    first.close()
    plant_on(line, tmp_path).close()
