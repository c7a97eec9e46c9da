"""How fast does the trainer take in experience, and does what is stored slow it down?

    python -m tests.benchmarks.store ingest [--database sqlite postgresql] [--seconds 20] [--streams 64]
    python -m tests.benchmarks.store query [--database sqlite postgresql] [--transitions 10000000]

ingest: a trainer as a process takes batches of 50 from concurrent streams, each acknowledged after its
commit; then the same rows go into the same database by its driver's `executemany` alone, in transactions of
50 rows and of as many as the streams send at a time. Memory is the trainer's resident size.

query: a database is filled by its driver, then opened anew; one session is read as a refit reads it, and
the newest sessions are listed. Medians of ten.
"""

import argparse
import asyncio
import contextlib
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psycopg

from protos.hds import v1
from tests.support.plain import PLANT, session, transition
from tests.support.postgres import PostgreSQL
from tests.support.programs import Programs
from trainer.store.database import open_database
from trainer.store.experience import ExperienceStore
from trainer.store.records import Selection

BATCH = 50
IN_FLIGHT = 4
"""Batches that a stream sends before it waits for an acknowledgement."""
PER_SESSION = 10_000
COLUMNS = (
    "session", "sequence", "episode", "purpose", "x", "u_requested", "u_applied", "x_next", "t_ns",
    "terminated", "truncated", "policy_version", "action_source", "fallback_reason",
)  # fmt: skip


async def stream(address: str, name: str, until: float) -> int:
    """Append batches until then; return how many transitions were acknowledged."""
    request = v1.AppendRequest(session=session(name), transitions=[transition(i) for i in range(BATCH)])
    async with grpc.aio.insecure_channel(address) as channel:
        call = v1.ExperienceServiceStub(channel).Append()
        sent = done = 0
        while True:
            if time.perf_counter() < until:
                for i, row in enumerate(request.transitions):  # making them anew would cost more than sending
                    row.sequence, row.episode = sent + i, (sent + i) // 150
                await call.write(request)
                sent += BATCH
            elif done == sent:
                await call.done_writing()
                return done
            if sent - done >= IN_FLIGHT * BATCH or time.perf_counter() >= until:
                done = (await call.read()).next_sequence


async def ingest(address: str, pid: int, streams: int, seconds: float) -> tuple[float, list[float]]:
    """Return acknowledged transitions per second, and the trainer's memory [MB] after each tenth."""
    began = time.perf_counter()
    tasks = [asyncio.create_task(stream(address, f"s{number}", began + seconds)) for number in range(streams)]
    memory = []
    for _ in range(10):
        await asyncio.sleep(seconds / 10)
        memory.append(resident_mb(pid))
    stored = sum(await asyncio.gather(*tasks))
    return stored / (time.perf_counter() - began), memory


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process [MB]."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def rows_of(name: str, first: int, count: int) -> list[tuple]:
    """Return rows as the driver takes them, of the same transitions."""
    blob = lambda values: np.asarray(values, "<f4").tobytes()  # noqa: E731
    rows = []
    for sequence in range(first, first + count):
        row = transition(sequence)
        arrays = (blob(row.x), blob(row.u_requested), blob(row.u_applied), blob(row.x_next))
        rows.append((name, sequence, row.episode, row.purpose, *arrays, row.t_ns, False, False,
                     row.policy_version, row.action_source, ""))  # fmt: skip
    return rows


@contextlib.contextmanager
def driver(url: str) -> Iterator[Any]:
    """Give a connection of the database's driver, set up as the store has it."""
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            yield connection
    else:
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            yield connection


def insertion(url: str) -> str:
    """Return the statement that inserts a row."""
    mark = "?" if url.startswith("sqlite") else "%s"
    return f"INSERT INTO transitions ({', '.join(COLUMNS)}) VALUES ({', '.join([mark] * len(COLUMNS))})"


def open_session(connection: Any, url: str, name: str, count: int) -> None:
    """Insert what the transitions refer to."""
    mark = "?" if url.startswith("sqlite") else "%s"
    names = ('["cart [m]", "pole [rad]", "cart velocity [m/s]", "pole velocity [rad/s]"]', '["push [100 N]"]')
    values = (name, "cartpole_swingup", PLANT.name, *names, 0.04, count, time.time_ns(), "stream")
    connection.cursor().execute(f"INSERT INTO sessions VALUES ({', '.join([mark] * len(values))})", values)


def bare(url: str, batch: int, seconds: float) -> float:
    """Return transitions per second of the driver alone, in transactions of `batch` rows."""
    name = f"bare-{batch}"
    with driver(url) as connection:
        open_session(connection, url, name, 0)
        connection.commit()
        rows, inserted, took = rows_of(name, 0, batch), 0, 0.0
        while took < seconds:
            numbered = [(row[0], inserted + i, *row[2:]) for i, row in enumerate(rows)]
            began = time.perf_counter()
            connection.cursor().executemany(insertion(url), numbered)
            connection.commit()
            took += time.perf_counter() - began
            inserted += batch
    return inserted / took


def measure_ingest(url: str, root: Path, streams: int, seconds: float) -> None:
    """Print the rates of one database."""
    programs = Programs(root)
    try:
        program, address = programs.trainer("0", "--database", url)
        rate, memory = asyncio.run(ingest(address, program.process.pid, streams, seconds))
    finally:
        programs.close()
    rates = {batch: bare(url, batch, seconds / 4) for batch in (BATCH, BATCH * streams)}
    beside = ", ".join(f"{r:.0f}/s in transactions of {b} ({rate / r:.2f} of it)" for b, r in rates.items())
    growth = memory[-1] / memory[0] - 1.0
    print(f"{streams} streams: {rate:.0f} transitions/s acknowledged; bare inserts {beside}")
    print(f"  memory {memory[0]:.0f} MB after a tenth, {memory[-1]:.0f} MB at the end ({growth:+.1%})")


def fill(url: str, first: int, transitions: int) -> None:
    """Insert sessions of PER_SESSION transitions, from number `first` on, by the driver."""
    open_database(url).dispose()
    mark = "?" if url.startswith("sqlite") else "%s"
    episodes = f"INSERT INTO episodes VALUES ({', '.join([mark] * 6)})"
    rows = rows_of("", 0, PER_SESSION)
    with driver(url) as connection:
        for number in range(first, transitions // PER_SESSION):
            name = f"s{number:06}"
            open_session(connection, url, name, PER_SESSION)
            whole = [(name, i, 1, first, min(first + 150, PER_SESSION), min(150, PER_SESSION - first))
                     for i, first in enumerate(range(0, PER_SESSION, 150))]  # fmt: skip
            connection.cursor().executemany(episodes, whole)
            copy(connection, url, [(name, *row[1:]) for row in rows])
            connection.commit()


def copy(connection: Any, url: str, rows: list[tuple]) -> None:
    """Insert rows the fastest way there is."""
    if url.startswith("sqlite"):
        connection.executemany(insertion(url), rows)
        return
    with connection.cursor().copy(f"COPY transitions ({', '.join(COLUMNS)}) FROM STDIN") as target:
        for row in rows:
            target.write_row(row)


def median_s(work: Callable[[], Any]) -> float:
    """Return the median time of ten calls [s]."""
    took = []
    for _ in range(10):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return float(np.median(took))


def reading_times(url: str) -> dict[str, float]:
    """Return how long each way of reading takes [s]."""
    store, wanted = ExperienceStore(open_database(url)), Selection(sessions=("s000000",))
    return {
        "opening": median_s(lambda: open_database(url).dispose()),
        "one session of 10 000": median_s(lambda: store.episodes(wanted)),
        "one episode of 150": median_s(lambda: store.transitions("s000000", 3)),
        "watermark": median_s(lambda: store.watermark("s000000")),
    }


def measure_query(url: str, transitions: int) -> None:
    """Print how long opening and reading take with that many transitions stored, and with few."""
    for first, count in ((0, PER_SESSION), (1, transitions)):
        began = time.perf_counter()
        fill(url, first, count)
        filled = time.perf_counter() - began
        times = reading_times(url)
        told = ", ".join(f"{name} {value * 1e3:.1f} ms" for name, value in times.items())
        print(f"{count} transitions stored ({filled:.0f} s): {told}", flush=True)


def main() -> None:
    """Print what the arguments ask for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("ingest", "query"))
    parser.add_argument("--database", nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--transitions", type=int, default=10_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root, contextlib.ExitStack() as stack:
        for name in options.database:
            if name == "postgresql":
                server = PostgreSQL()
                stack.callback(server.close)
                url = server.new_database()
            else:
                url = f"sqlite:///{Path(root) / 'hds.sqlite'}"
            print(name, flush=True)
            if options.what == "ingest":
                measure_ingest(url, Path(root) / name, options.streams, options.seconds)
            else:
                measure_query(url, options.transitions)


if __name__ == "__main__":
    main()
