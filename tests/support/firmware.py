"""The reference firmware, compiled: with the system's compiler, or else with the one that pip installed."""

import ctypes
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "real_env" / "firmware"
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-O2"]


def compiler() -> list[str]:
    """Return the command of a C compiler."""
    found = shutil.which("cc")
    return [found] if found else [sys.executable, "-m", "ziglang", "cc"]


def compile_firmware(out: Path, sources: tuple[str, ...], *options: str) -> Path:
    """Compile `sources` without a warning."""
    files = [str(SOURCE / name) for name in sources]
    done = subprocess.run(
        [*compiler(), *STRICT, *options, "-o", str(out), *files, "-lm"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out


def protocol_library(directory: Path) -> ctypes.CDLL:
    """Return the firmware's protocol as a library."""
    path = compile_firmware(directory / "protocol.so", ("hds_protocol.c",), "-shared", "-fPIC")
    return ctypes.CDLL(str(path))


@contextmanager
def simulated_pendulum(directory: Path, *options: str) -> Iterator[str]:
    """Yield the serial line of the firmware on a simulated pendulum."""
    with simulated_firmware(directory, *options) as (line, _):
        yield line


@contextmanager
def simulated_firmware(directory: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """Yield the serial line of the firmware on a simulated pendulum, and its process."""
    sources = ("simulated_pendulum.c", "hds_device.c", "hds_protocol.c")
    program = compile_firmware(directory / "simulated_pendulum", sources, *options)
    process = subprocess.Popen([program], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()  # pyright: ignore[reportOptionalMemberAccess]


def rig_file(directory: Path, port: str, **changed: object) -> Path:
    """Write the TOML file of a cart-pole on `port`."""
    names = ["cart [m]", "pole [rad]", "cart velocity [m/s]", "pole velocity [rad/s]"]
    entries = {"port": port, "control_dt": 0.04, "state_names": names, "action_names": ["push [100 N]"]}
    path = directory / "rig.toml"
    path.write_text("".join(f"{name} = {value!r}\n" for name, value in (entries | changed).items()))
    return path
