"""What the command line and the demo ask of a running trainer."""

from collections.abc import Callable, Iterable

import grpc

from protos.hds import v1
from protos.transport.access import Access
from protos.transport.handshake import CertificateRefused

CALL_S = 10.0
LONG_CALL_S = 300.0
CONNECT_S = 3.0
CHANNEL_OPTIONS = (("grpc.max_receive_message_length", 64 << 20),)  # some 500 000 episodes of a session


class CallFailed(RuntimeError):
    """A call did not succeed; the message is fit for the terminal."""


class TrainerClient:
    """Calls to the trainer at `host:port`, whose failures are `CallFailed`; so is its absence."""

    def __init__(self, address: str, access: Access | None = None) -> None:
        self.address = address
        self._access = access or Access()
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
        """Return the response of one unary call."""
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
            raise CallFailed(f"job {job_id} {state}" + (f": {job.error}" if job and job.error else ""))
        return job

    def job(self, job_id: str) -> v1.Job:
        """Return one job."""
        response = self.call(self.training.GetJob, v1.GetJobRequest(id=job_id))
        assert isinstance(response, v1.GetJobResponse)
        return response.job

    def policies(self) -> list[v1.PolicyRecord]:
        """Return every published policy, oldest first."""
        request = v1.ListPoliciesRequest()
        response = self.call(self.registry.ListPolicies, request, timeout=LONG_CALL_S)
        assert isinstance(response, v1.ListPoliciesResponse)
        return list(response.policies)

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
        """Return the scored episodes of a selection."""
        found = []
        for summary in self.sessions(wanted):  # one at a time: an answer must fit into a message
            one = v1.Selection()
            one.CopyFrom(wanted)
            one.ClearField("sessions")
            one.sessions.append(summary.session.id)
            request = v1.ListEpisodesRequest(selection=one)
            response = self.call(self.experience.ListEpisodes, request, timeout=LONG_CALL_S)
            assert isinstance(response, v1.ListEpisodesResponse)
            found += response.episodes
        return found

    def sessions(self, wanted: v1.Selection) -> list[v1.SessionSummary]:
        """Return what is stored of the sessions of a selection, oldest first."""
        request = v1.ListSessionsRequest(selection=wanted)
        response = self.call(self.experience.ListSessions, request, timeout=LONG_CALL_S)
        assert isinstance(response, v1.ListSessionsResponse)
        return list(response.sessions)

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
            return CallFailed(error.details() or error.code().name.lower())
        if isinstance(error, grpc.Call) and "not available" in (error.details() or ""):
            return CallFailed(error.details() or "")
        return CallFailed(f"the trainer at {self.address} has gone")
