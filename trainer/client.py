"""What the command line and the demo ask of a running trainer."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc

from protos.hds import v1
from protos.operation.supervisor import back_off
from protos.operation.text import printable, shortened
from protos.security.certificate_refusal import CertificateRefused
from protos.security.client_security import ClientSecurity

CALL_S = 10.0
LONG_CALL_S = 300.0
CONNECT_S = 3.0
PAGE = 500
TRIES = 5
"""How often a trainer is asked again that takes no call now."""
CHANNEL_OPTIONS = (("grpc.max_receive_message_length", 64 << 20),)  # some 500 000 episodes of a session


class CallFailed(RuntimeError):
    """A call did not succeed; the message is fit for the terminal."""


class TrainerClient:
    """Calls to the trainer at `host:port`, whose failures are `CallFailed`; so is its absence."""

    def __init__(self, address: str, access: ClientSecurity | None = None) -> None:
        self.address = address
        self._access = access or ClientSecurity()
        self._channel = self._access.channel(address, CHANNEL_OPTIONS)
        self._wait_until_connected()
        self.experience = v1.ExperienceServiceStub(self._channel)
        self.registry = v1.RegistryServiceStub(self._channel)
        self.training = v1.TrainingServiceStub(self._channel)

    def _wait_until_connected(self) -> None:
        """Give a trainer that is being started a moment."""
        try:
            grpc.channel_ready_future(self._channel).result(timeout=CONNECT_S)
        except grpc.FutureTimeoutError:
            self.close()
            if self._access.refused(self.address):
                raise CallFailed(str(CertificateRefused(self.address))) from None
            raise CallFailed(
                f"no trainer answers at {self.address}; start one with 'hds-trainer serve'"
            ) from None

    def call(self, method: Callable, request: object, timeout: float | None = CALL_S) -> object:
        """Return the response of one unary call; a trainer that has too much to do is asked again."""
        waits = back_off()
        for _ in range(TRIES):
            try:
                return method(request, timeout=timeout)
            except grpc.RpcError as error:
                if not _overloaded(error):
                    raise self._failure(error) from error
                time.sleep(next(waits))
        try:
            return method(request, timeout=timeout)
        except grpc.RpcError as error:
            raise self._failure(error) from error

    def follow(self, job_id: str, on_change: Callable[[v1.Job], None]) -> v1.Job:
        """Watch a job to its end; raise `CallFailed` if it did not succeed."""
        job = None
        try:
            for response in self.training.WatchJob(v1.WatchJobRequest(id=job_id)):
                job = response.job
                on_change(job)
        except grpc.RpcError as error:
            raise self._failure(error) from error
        if job is None or job.state != v1.JOB_STATE_SUCCEEDED:
            state = v1.JobState.Name(job.state).removeprefix("JOB_STATE_").lower() if job else "lost"
            why = f": {printable(job.error)}" if job and job.error else ""
            raise CallFailed(f"job {job_id} {state}{why}")
        return job

    def epochs(self, job_id: str) -> Iterator[v1.Epoch]:
        """Yield the figures of every epoch of a job, until it has ended."""
        try:
            for response in self.training.WatchJob(v1.WatchJobRequest(id=job_id, curves=True)):
                yield from response.epochs
        except grpc.RpcError as error:
            raise self._failure(error) from error

    def job(self, job_id: str) -> v1.Job:
        """Return one job."""
        response = self.call(self.training.GetJob, v1.GetJobRequest(id=job_id))
        assert isinstance(response, v1.GetJobResponse)
        return response.job

    def policies(self) -> list[v1.PolicyRecord]:
        """Return every published policy, oldest first."""
        return [
            policy
            for page in self._pages(self.registry.ListPolicies, v1.ListPoliciesRequest())
            for policy in page.policies
        ]

    def audit(self) -> Iterator[v1.AuditEntry]:
        """Yield the audit trail, newest first, as it is read."""
        for page in self._pages(self.registry.ListAudit, v1.ListAuditRequest()):
            yield from page.entries

    def jobs(self) -> list[v1.Job]:
        """Return every job, oldest first."""
        pages = self._pages(self.training.ListJobs, v1.ListJobsRequest())
        return [job for page in pages for job in page.jobs]

    def policy_named(self, name: str, task: str = "") -> v1.ResolvePolicyResponse:
        """Return which policy is meant by a version, its first digits, or a label."""
        response = self.call(self.registry.ResolvePolicy, v1.ResolvePolicyRequest(name=name, task=task))
        assert isinstance(response, v1.ResolvePolicyResponse)
        return response

    def configuration_of(self, name: str, task: str = "") -> v1.GetConfigurationResponse:
        """Return how a policy was trained; `name` is a version, its first digits, or a label."""
        request = v1.GetConfigurationRequest(name=name, task=task)
        response = self.call(self.registry.GetConfiguration, request, timeout=LONG_CALL_S)
        assert isinstance(response, v1.GetConfigurationResponse)
        return response

    def start_training(self, options: v1.TrainingOptions) -> v1.Job:
        """Queue a training in the simulator."""
        response = self.call(self.training.StartTraining, v1.StartTrainingRequest(options=options))
        assert isinstance(response, v1.StartTrainingResponse)
        return response.job

    def start_refit(self, request: v1.StartRefitRequest) -> v1.Job:
        """Queue a refit."""
        response = self.call(self.training.StartRefit, request)
        assert isinstance(response, v1.StartRefitResponse)
        return response.job

    def episodes(self, session: str, purpose: v1.Purpose) -> list[v1.Episode]:
        """Return the scored episodes of a session; empty and unspecified mean any."""
        return self.episodes_of(v1.Selection(sessions=[session] if session else (), purpose=purpose))

    def episodes_of(self, wanted: v1.Selection) -> list[v1.Episode]:
        """Return the scored episodes of a selection, by session and sequence."""
        pages = self._pages(self.experience.ListEpisodes, v1.ListEpisodesRequest(selection=wanted))
        return [episode for page in pages for episode in page.episodes]

    def sessions(self, wanted: v1.Selection) -> list[v1.SessionSummary]:
        """Return what is stored of the sessions of a selection, oldest first."""
        pages = self._pages(self.experience.ListSessions, v1.ListSessionsRequest(selection=wanted))
        return [session for page in pages for session in page.sessions]

    def _pages(self, method: Callable, request: Any) -> Iterator[Any]:
        """Yield the answers of a call that lists, page by page."""
        request.page_size = PAGE
        while True:
            response: Any = self.call(method, request, timeout=LONG_CALL_S)
            yield response
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def session_named(self, beginning: str) -> str:
        """Return the id of the one session that begins so."""
        names = [s.session.id for s in self.sessions(v1.Selection())]
        matching = [name for name in names if name.startswith(beginning)]
        if beginning in matching:
            return beginning
        if len(matching) != 1:
            found = f"{len(matching)} sessions begin" if matching else "no session begins"
            raise CallFailed(f"{found} with {beginning!r}; see 'hds-trainer experience'")
        return matching[0]

    def transitions(self, session: str, episode: int) -> list[v1.Transition]:
        """Return the transitions of one episode."""
        request = v1.ReadEpisodeRequest(session=session, episode=episode)
        try:
            parts = list(self.experience.ReadEpisode(request, timeout=LONG_CALL_S))
        except grpc.RpcError as error:
            raise self._failure(error) from error
        return [transition for part in parts for transition in part.transitions]

    def append(
        self, batches: Iterable[v1.AppendRequest], on_commit: Callable[[int], None] = lambda sequence: None
    ) -> None:
        """Store batches of transitions; raise `CallFailed` if one is refused.

        After each batch `on_commit` gets the sequence number up to which its session is stored.
        """
        try:
            for response in self.experience.Append(iter(batches)):
                if why := response.refusal or response.gap:
                    raise CallFailed(f"session {response.session} is refused: {why}")
                on_commit(response.next_sequence)
        except grpc.RpcError as error:
            raise self._failure(error) from error

    def watermark(self, session: str) -> int:
        """Return the smallest sequence number that is not stored of a session; 0 for an unknown one."""
        response = self.call(self.experience.GetWatermark, v1.GetWatermarkRequest(session=session))
        assert isinstance(response, v1.GetWatermarkResponse)
        return response.next_sequence

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def _failure(self, error: grpc.RpcError) -> CallFailed:
        if isinstance(error, grpc.Call) and error.code() != grpc.StatusCode.UNAVAILABLE:
            return CallFailed(printable(shortened(error.details() or "")) or error.code().name.lower())
        if isinstance(error, grpc.Call) and "not available" in (error.details() or ""):
            return CallFailed(printable(shortened(error.details() or "")))
        return CallFailed(f"the trainer at {self.address} has gone")


def _overloaded(error: grpc.RpcError) -> bool:
    """Return whether the trainer takes no call now, and will later."""
    return (
        isinstance(error, grpc.Call)
        and error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        and "try later" in (error.details() or "")
    )
