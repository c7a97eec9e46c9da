"""Uploads the spool to the trainer, in order, until it is acknowledged."""

import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator

import grpc

from protos.hds import v1
from protos.operation.supervisor import start_supervised_thread
from protos.security.client_security import ClientSecurity
from real_env.reconnect import CHANNEL_OPTIONS, SayOnce, back_off, reason
from real_env.spool import Spool, SpoolFull, Unreadable

BATCH, MESSAGE_BYTES = 50, 1 << 20
"""Limits of a message: transitions and bytes."""
UNDER_WAY = 4
"""Unacknowledged messages at a time."""
GATHER_S = 0.05
"""Shortest time between messages of less than `BATCH` transitions [s]. The trainer commits each message."""
LARGEST_BYTES = (4 << 20) - (64 << 10)
"""Largest message that a trainer accepts, without the fields besides the transitions."""
SCORE_S = 60.0
"""Time-out of a score request [s]. The first one imports JAX in the trainer."""
LOOK_S = 0.25
"""Period at which a wait checks whether it should end [s]."""


class SessionRejected(RuntimeError):
    """The trainer rejects the data of this session."""


class GapReported(RuntimeError):
    """The trainer reports a gap before the sent transitions."""


class ExperienceUploader:
    """Uploads the spool to the trainer at `address`, in a thread.

    Transitions leave the spool only after the trainer has committed them. After a broken connection,
    uploading starts again at the trainer's watermark, so nothing is lost. The trainer drops sequence numbers
    that it has, so nothing is stored twice.
    """

    def __init__(
        self,
        address: str,
        access: ClientSecurity,
        spool: Spool,
        live_session: str,
        say: Callable[[str], None],
    ) -> None:
        self.address = address
        self._live = live_session
        self._spool = spool
        self._say = SayOnce(say)
        self._channel = access.followed(address, CHANNEL_OPTIONS)
        self._writer = secrets.token_hex(8)
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._refusal = ""
        self._refused: set[str] = set()
        self._flushing = 0
        self._thread = start_supervised_thread("sending to the trainer", self._run, self._stopping, self._say)

    def notify(self) -> None:
        """Notify the thread of new transitions in the spool."""
        with self._changed:
            self._changed.notify_all()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all accepted sessions are acknowledged; return False after `timeout` seconds.

        Raises:
            SessionRejected: the trainer rejects this session.
        """
        with self._changed:
            self._flushing += 1
            self._changed.notify_all()
            done = self._changed.wait_for(lambda: self._refusal or not self._sessions(), timeout)
            self._flushing -= 1
            if self._refusal:
                raise SessionRejected(self._refusal)
            return bool(done)

    def deliver(self, patience_s: float, ended: Callable[[], bool] = lambda: False) -> bool:
        """Wait until all accepted sessions are acknowledged, nothing was for `patience_s`, or `ended()`.

        Return whether all are acknowledged.

        Raises:
            SessionRejected: the trainer rejects this session.
        """
        left, progressed_s = self._spool.waiting(), time.monotonic()
        while not ended():
            if self.flush(LOOK_S):
                return True
            if (now := self._spool.waiting()) < left:
                left, progressed_s = now, time.monotonic()
            elif time.monotonic() - progressed_s > patience_s:
                return False
        return False

    def scores(self, session: str, ended: Callable[[], bool]) -> list[v1.PolicyScore] | str:
        """Return the scores of policies in a stored session, or an error message; empty once `ended()`."""
        wanted = v1.ScorePoliciesRequest(selection=v1.Selection(sessions=[session]))
        call = v1.ExperienceServiceStub(self._channel.now()).ScorePolicies.future(wanted, timeout=SCORE_S)
        while not ended():
            try:
                return list(call.result(timeout=LOOK_S).scores)
            except grpc.FutureTimeoutError:
                continue
            except grpc.RpcError as error:
                return reason(error)
        call.cancel()
        return []

    def close(self) -> None:
        """End the upload; unacknowledged transitions stay in the spool."""
        with self._changed:
            self._stopping.set()
            self._changed.notify_all()
        self._channel.close()
        self._thread.join(timeout=1.0)

    def _run(self) -> None:
        waits = back_off()
        while not self._stopping.is_set():
            try:
                for session in self._sessions():
                    self._send(session)
                    waits = back_off()
                with self._changed:
                    self._changed.wait_for(lambda: self._stopping.is_set() or self._sessions())
            except GapReported as error:
                self._say(f"the trainer at {self.address} asks again: {error}")
            except (grpc.RpcError, ValueError, SpoolFull, sqlite3.Error) as error:
                if self._stopping.is_set():
                    return
                self._say(self._trouble(error))
                with self._changed:
                    self._changed.wait_for(self._stopping.is_set, next(waits))

    def _trouble(self, error: Exception) -> str:
        """Return a message about what delays the upload."""
        if isinstance(error, SpoolFull | sqlite3.Error):
            return f"sending waits: {error}"
        why = reason(error) if isinstance(error, grpc.RpcError) else str(error)
        return f"waiting for the trainer at {self.address} ({why}); transitions are kept on disk"

    def _sessions(self) -> list[v1.Session]:
        """Return the sessions to upload, the live one last."""
        waiting = [session for session in self._spool.sessions() if session.id not in self._refused]
        return sorted(waiting, key=lambda session: session.id == self._live)

    def _send(self, session: v1.Session) -> None:
        """Upload one session from the trainer's watermark until the spool holds no more of it."""
        stub = v1.ExperienceServiceStub(self._channel.now())
        watermark = stub.GetWatermark(v1.GetWatermarkRequest(session=session.id), timeout=5.0)
        try:
            first = self._spool.read(session.id, 0, 1)
        except Unreadable as error:
            self._refuse(session, str(error))
            return
        if first and first[0].sequence > watermark.next_sequence:
            missing = f"{watermark.next_sequence} to {first[0].sequence - 1}"
            self._refuse(
                session, f"it lacks {missing}, which were acknowledged once and are not here any more"
            )
            return
        self._acknowledge(session.id, watermark.next_sequence)
        broken, unsendable = threading.Event(), list[str]()
        under_way = threading.Semaphore(UNDER_WAY)
        call = stub.Append(self._batches(session, watermark.next_sequence, under_way, broken, unsendable))
        try:
            for response in call:
                if response.refusal:
                    self._refuse(session, response.refusal)
                    return
                if response.gap:
                    raise GapReported(response.gap)
                self._acknowledge(session.id, response.next_sequence)
                under_way.release()
            if unsendable:
                self._refuse(session, unsendable[0])
        finally:
            broken.set()
            under_way.release()
            self.notify()
            call.cancel()

    def _batches(
        self,
        session: v1.Session,
        first: int,
        under_way: threading.Semaphore,
        broken: threading.Event,
        unsendable: list[str],
    ) -> Iterator[v1.AppendRequest]:
        """Yield messages from the spool until the session or the stream ends.

        Each message acquires `under_way`, and its acknowledgement releases it. If a transition can never be
        sent, append the reason to `unsendable` and end.
        """
        try:
            under_way.acquire()
            while not broken.is_set():
                transitions = self._fitting(session.id, first)
                if transitions:
                    next_s = time.monotonic() + (GATHER_S if len(transitions) < BATCH else 0.0)
                    yield v1.AppendRequest(session=session, transitions=transitions, writer=self._writer)
                    first = transitions[-1].sequence + 1
                    self._gather(next_s, broken)
                    under_way.acquire()
                elif session.id != self._live or not self._await_more(session.id, first, broken):
                    return
        except Unreadable as error:
            unsendable.append(str(error))
        except sqlite3.Error as error:
            self._say(f"sending waits: {error}")

    def _fitting(self, session: str, first: int) -> list[v1.Transition]:
        """Return the next transitions of a session, as many as fit into a message.

        Raises:
            Unreadable: the next one is damaged or too large for a message.
        """
        try:
            waiting = self._spool.read(session, first, BATCH)
        except Unreadable:
            waiting = self._spool.read(session, first, 1)  # send those before the damaged one
        size, found = 0, []
        for transition in waiting:
            size += transition.ByteSize()
            if found and size > MESSAGE_BYTES:
                break
            found.append(transition)
        if size > LARGEST_BYTES and len(found) == 1:
            raise Unreadable(f"transition {first} takes {size} bytes; a message holds {LARGEST_BYTES}")
        return found

    def _gather(self, until_s: float, broken: threading.Event) -> None:
        """Wait until then for more transitions, unless a caller waits in `flush`."""
        with self._changed:
            hurry = lambda: self._flushing or self._stopping.is_set() or broken.is_set()  # noqa: E731
            self._changed.wait_for(hurry, until_s - time.monotonic())

    def _await_more(self, session: str, first: int, broken: threading.Event) -> bool:
        """Wait until the spool has `first`; return False if uploader or stream ended before."""
        with self._changed:
            ended = lambda: self._stopping.is_set() or broken.is_set()  # noqa: E731
            self._changed.wait_for(lambda: ended() or self._spool.read(session, first, 1))
            return not ended()

    def _refuse(self, session: v1.Session, why: str) -> None:
        message = f"the trainer at {self.address} refuses session {session.id}: {why}"
        self._say(
            f"{message}; its transitions stay in {self._spool.path}: 'hds-real-env spool list' shows them, "
            "'spool discard' deletes them"
        )
        self._refused.add(session.id)
        self._spool.refuse(session.id, why)
        if session.id == self._live:
            self._refusal = message
        self.notify()

    def _acknowledge(self, session: str, next_sequence: int) -> None:
        self._spool.acknowledge(session, next_sequence)
        self.notify()
