"""Scores of policies on the plant, from evaluation episodes.

An episode counts for a policy if no other policy acted in it, and if its success can be judged.
"""

import dataclasses
import functools
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from protos.hds import v1
from trainer.services.scoring import Scorer
from trainer.store.experience import ExperienceStore
from trainer.store.records import EVALUATE, EVERYTHING, EvaluatedSession, RecordedEpisode, Selection

if TYPE_CHECKING:
    from trainer.tasks.task import Task

CONFIDENCE = 0.95
T = TypeVar("T")
TOGETHER = 500
"""Sessions that are read in one query."""


class Outcome(NamedTuple):
    """Plant, cost and success of one judged episode."""

    plant: str
    cost: float
    success: bool


Scored = tuple[tuple[str, Outcome | None], ...]
"""Policy and outcome of each episode of a session in which only one policy acted; None: not judged."""


@dataclasses.dataclass(frozen=True)
class PlantRecord:
    """The record of one policy on plants: judged episodes, and the number of others."""

    version: str
    outcomes: tuple[Outcome, ...] = ()
    not_judged: int = 0

    def on(self, plants: Iterable[str]) -> "PlantRecord":
        """Return the record on some plants only."""
        outcomes = tuple(outcome for outcome in self.outcomes if outcome.plant in set(plants))
        return PlantRecord(self.version, outcomes, self.not_judged)

    @property
    def costs(self) -> np.ndarray:
        """Costs of the judged episodes."""
        return np.array([outcome.cost for outcome in self.outcomes], float)

    @property
    def successes(self) -> int:
        """Number of judged episodes that succeeded."""
        return sum(outcome.success for outcome in self.outcomes)

    @functools.cached_property
    def message(self) -> v1.PolicyScore:
        """The scores with 95 % intervals: Wilson's for success, Student's t for the mean cost."""
        score = v1.PolicyScore(
            policy_version=self.version, episodes=len(self.outcomes), not_judged=self.not_judged
        )
        if not self.outcomes:
            return score
        from scipy import stats

        count, costs = len(self.outcomes), self.costs
        share = stats.binomtest(self.successes, count).proportion_ci(CONFIDENCE, "wilson")
        score.success, score.success_low, score.success_high = self.successes / count, share.low, share.high
        score.cost, half = float(costs.mean()), float("inf")
        if count > 1:
            half = float(stats.t.ppf(0.5 + 0.5 * CONFIDENCE, count - 1) * costs.std(ddof=1) / np.sqrt(count))
        score.cost_low, score.cost_high = score.cost - half, score.cost + half
        return score


class _Session(NamedTuple):
    """The task of a session, and the policies that have scored episodes in it."""

    task: str
    policies: tuple[str, ...]


class PlantScores:
    """Records of all policies in a store, kept up to date: only sessions that have changed are read again.

    If the file of a task has changed, and with it perhaps the criterion of success, the sessions of that task
    are read again. Thread-safe.
    """

    def __init__(self, store: ExperienceStore, score: Scorer) -> None:
        self._store, self._score = store, score
        self._lock = threading.Lock()
        self._changed = _ChangedSessions()
        store.on_change(self._changed.add)
        self._sessions: dict[str, _Session] | None = None
        """By id; None before the first reading."""
        self._tasks: dict[str, Task | None] = {}
        """The tasks by which these sessions were scored, by name."""
        self._scored: dict[str, dict[str, Scored]] = {}
        """Scored episodes by policy and session."""
        self._records: dict[str, PlantRecord] = {}

    def everything(self) -> dict[str, PlantRecord]:
        """Return the record of each policy, by version."""
        with self._lock:
            changed = self._changed.take()
            try:
                self._update(changed)
            except BaseException:
                self._changed.add(changed)
                raise
            return dict(self._records)

    def of(self, wanted: Selection) -> dict[str, PlantRecord]:
        """Return the record of each policy in the evaluation episodes of a selection, by version."""
        if wanted == EVERYTHING:
            return self.everything()
        wanted = dataclasses.replace(wanted, purpose=EVALUATE)
        by_policy: dict[str, dict[str, Scored]] = {}
        for session in self._store.evaluated(wanted):  # one session in memory at a time
            one = dataclasses.replace(wanted, sessions=(session.session,))
            scored = self._read(one, [session])[session.session]
            for version, outcomes in _by_policy(scored).items():
                by_policy.setdefault(version, {})[session.session] = outcomes
        return {version: _plant_record(version, sessions) for version, sessions in by_policy.items()}

    def _update(self, changed: set[str]) -> None:
        """Read the sessions that have changed, and make the records of their policies anew."""
        tasks = {name: self._score.task(name) for name in self._tasks}
        if self._sessions is None:
            present = self._store.evaluated()
        else:
            other = {name for name, task in tasks.items() if task is not self._tasks[name]}
            if other:
                changed = changed | {name for name, one in self._sessions.items() if one.task in other}
            present = [one for some in _parts(sorted(changed)) for one in self._store.evaluated(_named(some))]
        tasks |= {name: self._score.task(name) for name in {one.task for one in present} - tasks.keys()}
        found: dict[str, dict[str, Scored]] = {}
        for some in _parts(present):
            read = self._read(_named([one.session for one in some], EVALUATE), some)
            found |= {name: _by_policy(scored) for name, scored in read.items()}
        self._tasks = tasks
        touched = self._remove(changed) + self._add(present, found)
        for version in dict.fromkeys(touched):
            if sessions := self._scored[version]:
                self._records[version] = _plant_record(version, sessions)
            else:
                del self._scored[version], self._records[version]

    def _remove(self, names: Iterable[str]) -> list[str]:
        """Remove sessions; return the policies that have episodes in them."""
        touched: list[str] = []
        for name in names:
            known = self._sessions.pop(name, None) if self._sessions else None
            for version in known.policies if known else ():
                del self._scored[version][name]
                touched.append(version)
        return touched

    def _add(self, present: Sequence[EvaluatedSession], found: dict[str, dict[str, Scored]]) -> list[str]:
        """Add sessions with their scored episodes; return the policies that have some."""
        touched: list[str] = []
        self._sessions = {} if self._sessions is None else self._sessions
        for one in present:
            self._sessions[one.session] = _Session(one.task, tuple(found[one.session]))
            for version, scored in found[one.session].items():
                self._scored.setdefault(version, {})[one.session] = scored
                touched.append(version)
        return touched

    def _read(self, wanted: Selection, sessions: Sequence[EvaluatedSession]) -> dict[str, Scored]:
        """Return what is stored of some sessions in a selection, by session."""
        found = {one.session: list[tuple[str, Outcome | None]]() for one in sessions}
        plants = {one.session: one.plant for one in sessions}
        for episode in self._store.episodes(wanted):
            if len(episode.policy_versions) == 1 and episode.session in found:
                outcome = self._outcome(episode, plants[episode.session])
                found[episode.session].append((episode.policy_versions[0], outcome))
        return {name: tuple(scored) for name, scored in found.items()}

    def _outcome(self, episode: RecordedEpisode, plant: str) -> Outcome | None:
        scored = self._score(episode)
        return Outcome(plant, scored.cost, scored.success) if scored.judged else None


class _ChangedSessions:
    """Names of sessions that have changed since they were last taken."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: set[str] = set()

    def add(self, names: Iterable[str]) -> None:
        with self._lock:
            self._names.update(names)

    def take(self) -> set[str]:
        with self._lock:
            taken, self._names = self._names, set()
            return taken


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for first in range(0, len(items), TOGETHER):
        yield items[first : first + TOGETHER]


def _named(sessions: Iterable[str], purpose: int = 0) -> Selection:
    return Selection(sessions=tuple(sessions), purpose=purpose)


def _by_policy(scored: Scored) -> dict[str, Scored]:
    found: dict[str, list[tuple[str, Outcome | None]]] = {}
    for one in scored:
        found.setdefault(one[0], []).append(one)
    return {version: tuple(some) for version, some in found.items()}


def _plant_record(version: str, sessions: dict[str, Scored]) -> PlantRecord:
    outcomes = [outcome for scored in sessions.values() for _, outcome in scored]
    judged = tuple(outcome for outcome in outcomes if outcome is not None)
    return PlantRecord(version, judged, len(outcomes) - len(judged))


def why_worse(candidate: PlantRecord, present: PlantRecord) -> str:
    """Return how the present policy is significantly better on plants that both drove; empty if not.

    Success rates are compared by Fisher's exact test. If they do not differ, costs are compared by Welch's
    t-test.
    """
    plants = {outcome.plant for outcome in candidate.outcomes} & {
        outcome.plant for outcome in present.outcomes
    }
    one, other = candidate.on(plants), present.on(plants)
    counts = [[r.successes, len(r.outcomes) - r.successes] for r in (one, other)]
    if min(map(sum, counts)) < 2:
        return ""
    from scipy import stats

    shares = [row[0] / sum(row) for row in counts]
    alpha = 1.0 - CONFIDENCE
    _, different = stats.fisher_exact(counts)
    if float(different) < alpha:  # pyright: ignore[reportArgumentType]
        if shares[0] > shares[1]:
            return ""
        return (
            f"policy {present.version[:12]} succeeded in {counts[1][0]} of {sum(counts[1])} episodes on the "
            f"plant, policy {candidate.version[:12]} in {counts[0][0]} of {sum(counts[0])}"
        )
    _, different = stats.ttest_ind(one.costs, other.costs, equal_var=False)
    if one.costs.mean() > other.costs.mean() and different < alpha:  # pyright: ignore[reportOperatorIssue]
        return (
            f"policy {present.version[:12]} cost {other.costs.mean():.4g} an episode on the plant, policy "
            f"{candidate.version[:12]} {one.costs.mean():.4g}"
        )
    return ""
