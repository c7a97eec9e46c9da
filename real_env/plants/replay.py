"""A recorded session as a plant: the same observations for another policy.

It moves as it was recorded, whatever it is told; what it reports as applied is what was applied then. So a
policy's requested actions stand beside those of the recording, for audits, and nothing is learned from it.
"""

from collections.abc import Sequence

import grpc
import numpy as np

from protos.hds import v1
from protos.security.client_security import ClientSecurity
from real_env.plant import PlantSpec, Reading

CALL_S = 60.0


def from_trainer(place: str, access: ClientSecurity) -> "ReplayPlant":
    """Return the session at `place`, which is HOST:PORT/SESSION of a trainer.

    Raises:
        ValueError: the trainer does not answer, or has no such session.
    """
    address, _, session = place.partition("/")
    if not session or ":" not in address:
        raise ValueError(f"plant 'replay:{place}': write replay:HOST:PORT/SESSION, with a trainer's address")
    with access.channel(address) as channel:
        stub = v1.ExperienceServiceStub(channel)
        try:
            listed = stub.ListEpisodes(
                v1.ListEpisodesRequest(session=session), timeout=CALL_S, wait_for_ready=False
            )
            episodes = [
                [row for part in stub.ReadEpisode(_request(e), timeout=CALL_S) for row in part.transitions]
                for e in listed.episodes
            ]
        except grpc.RpcError as error:
            why = error.details() if isinstance(error, grpc.Call) else str(error)
            raise ValueError(f"plant 'replay:{place}': the trainer at {address} answers: {why}") from error
    if not episodes:
        raise ValueError(f"plant 'replay:{place}': the trainer at {address} has no session {session}")
    return ReplayPlant(listed.plant, episodes)


def _request(episode: v1.Episode) -> v1.ReadEpisodeRequest:
    return v1.ReadEpisodeRequest(session=episode.session, episode=episode.episode)


class ReplayPlant:
    """Episodes of transitions, told one after the other, and again from the first."""

    def __init__(self, plant: v1.PlantSpec, episodes: Sequence[Sequence[v1.Transition]]) -> None:
        self.spec = PlantSpec(
            name=f"replay of {plant.name}",
            state_names=tuple(plant.state_names),
            action_names=tuple(plant.action_names),
            control_dt=plant.control_dt_s,
            parameters={},
            live=False,
            real_time=False,
        )
        self._episodes = [list(rows) for rows in episodes]
        self._next, self._step = 0, 0
        self._rows: list[v1.Transition] = self._episodes[0]

    def reset(self) -> Reading:
        """Return the first state of the next episode."""
        self._rows = self._episodes[self._next % len(self._episodes)]
        self._next, self._step = self._next + 1, 0
        return Reading(np.array(self._rows[0].x, np.float32), False)

    def exchange(self, command: np.ndarray) -> Reading:
        """Return what was recorded next; at the end of an episode the last state again."""
        del command
        row = self._rows[min(self._step, len(self._rows) - 1)]
        self._step += 1
        over = self._step >= len(self._rows)
        applied = np.array(row.u_applied, np.float32)
        cause = v1.END_CAUSE_RECORDING if over and not row.terminated else v1.END_CAUSE_UNSPECIFIED
        return Reading(np.array(row.x_next, np.float32), over and row.terminated, applied, over, cause)

    def close(self) -> None:
        """Nothing to release."""
