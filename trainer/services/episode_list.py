"""Lists of scored episodes, with a cache of those that have not changed."""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from protos.hds import v1
from trainer.services.experience_messages import encode_episode
from trainer.services.scoring import Scorer
from trainer.store.experience import ExperienceStore
from trainer.store.records import Selection
from trainer.store.selecting import EpisodeKey, EpisodePlace, by_policy

if TYPE_CHECKING:
    from trainer.tasks.task import Task

STEPS = 200_000
"""Limit of transitions in a page, which may exceed it by one episode. Reading them takes some seconds."""
MOST_KEPT = 250_000
"""Cached messages, some 90 MB."""


class _Kept(NamedTuple):
    steps: int
    task: "Task | None"
    message: bytes


class EpisodeList:
    """Pages of scored episodes. Thread-safe."""

    def __init__(self, store: ExperienceStore, score: Scorer) -> None:
        self._store, self._score = store, score
        self._kept: dict[EpisodeKey, _Kept] = {}
        self._lock = threading.Lock()

    def page(self, wanted: Selection, token: str, limit: int) -> tuple[list[v1.Episode], str]:
        """Return up to `limit` episodes after `token`, and the token of the next page; empty at the end.

        Raises:
            ValueError: the token is invalid.
        """
        session, _, first = token.rpartition(":")
        after = (session, int(first)) if token else None
        places = self._store.episode_places(wanted, after, limit + 1)
        some = _within(places[:limit])
        found = self._whole(some) if not wanted.watermarks else self._read(some, wanted.watermarks)
        following = "{}:{}".format(*some[-1].key) if len(some) < len(places) else ""
        return [one for one in found if by_policy(one.policy_versions, wanted.policies)], following

    def _read(self, places: Sequence[EpisodePlace], watermarks: dict[str, int]) -> list[v1.Episode]:
        read = self._store.read_episodes(places, watermarks)
        return [encode_episode(episode, self._score(episode)) for episode in read]

    def _whole(self, places: Sequence[EpisodePlace]) -> list[v1.Episode]:
        """Return complete episodes; read only those that are not cached or have changed."""
        tasks = {name: self._score.task(name) for name in {place.task for place in places}}
        with self._lock:
            known = {place.key: self._kept.get(place.key) for place in places}
        found = {
            place.key: v1.Episode.FromString(kept.message)
            for place in places
            if (kept := known[place.key]) and kept.steps == place.steps and kept.task is tasks[place.task]
        }
        missing = [place for place in places if place.key not in found]
        read = {(message.session, message.first_sequence): message for message in self._read(missing, {})}
        with self._lock:
            for place in missing:
                if place.key in read:
                    self._keep(place.key, read[place.key], tasks[place.task])
        found |= read
        return [found[place.key] for place in places if place.key in found]

    def _keep(self, key: EpisodeKey, message: v1.Episode, task: "Task | None") -> None:
        while len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = _Kept(message.steps, task, message.SerializeToString())


def _within(places: list[EpisodePlace]) -> list[EpisodePlace]:
    """Return the first places, as many as `STEPS` allows, but at least one."""
    steps = 0
    for count, place in enumerate(places):
        steps += place.steps
        if count and steps > STEPS:
            return places[:count]
    return places
