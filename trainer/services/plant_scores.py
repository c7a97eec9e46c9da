"""Scores of policies on the plant, from evaluation episodes.

An episode counts for a policy if no other policy acted in it, and if its success can be judged.
"""

import dataclasses
import threading
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from protos.hds import v1
from trainer.services.scoring import Score
from trainer.store.experience import ExperienceStore
from trainer.store.records import EVALUATE, EVERYTHING, Judging, RecordedEpisode, Selection
from trainer.tasks import is_file

CONFIDENCE = 0.95
TOGETHER = 500
"""Sessions that are read in one query."""
ScoreEpisode = Callable[[RecordedEpisode], Score]


class Outcome(NamedTuple):
    """Plant, cost and success of one judged episode."""

    plant: str
    cost: float
    success: bool


@dataclasses.dataclass
class PlantRecord:
    """The record of one policy on plants: judged episodes, and the number of others."""

    version: str
    outcomes: list[Outcome] = dataclasses.field(default_factory=list)
    not_judged: int = 0

    def on(self, plants: Iterable[str]) -> "PlantRecord":
        """Return the record on some plants only."""
        return PlantRecord(
            self.version, [o for o in self.outcomes if o.plant in set(plants)], self.not_judged
        )

    @property
    def costs(self) -> np.ndarray:
        """Costs of the judged episodes."""
        return np.array([outcome.cost for outcome in self.outcomes], float)

    @property
    def successes(self) -> int:
        """Number of judged episodes that succeeded."""
        return sum(outcome.success for outcome in self.outcomes)

    def message(self) -> v1.PolicyScore:
        """Return the scores with 95 % intervals: Wilson's for success, Student's t for the mean cost."""
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


class PlantScores:
    """Records of all policies in a store. A session is read again when it has grown.

    Sessions whose task is a file are read each time, because the file, and thus its criterion of success, may
    change.
    """

    def __init__(self, store: ExperienceStore, score: ScoreEpisode) -> None:
        self._store, self._score = store, score
        self._kept: dict[str, tuple[int, list[tuple[str, Outcome | None]]]] = {}
        """By session: the number of evaluation steps, and the version and outcome of each episode."""
        self._lock = threading.Lock()

    def everything(self) -> dict[str, PlantRecord]:
        """Return the record of each policy, by version."""
        with self._lock:
            return self._everything()

    def of(self, wanted: Selection) -> dict[str, PlantRecord]:
        """Return the record of each policy in the evaluation episodes of a selection, by version."""
        if wanted == EVERYTHING:
            return self.everything()
        wanted = dataclasses.replace(wanted, purpose=EVALUATE)
        found: dict[str, PlantRecord] = {}
        for session in self._store.evaluated(wanted):  # one session in memory at a time
            one = dataclasses.replace(wanted, sessions=(session.session,))
            _add(found, self._read(one, session.plant))
        return found

    def _everything(self) -> dict[str, PlantRecord]:
        sessions, before = self._store.evaluated(), self._kept
        known = {
            one.session: before[one.session]
            for one in sessions
            if one.session in before and before[one.session][0] == one.steps and not is_file(one.task)
        }
        missing = [one for one in sessions if one.session not in known]
        for at in range(0, len(missing), TOGETHER):
            part = missing[at : at + TOGETHER]
            read = self._read_sessions(part)
            known |= {one.session: (one.steps, read[one.session]) for one in part}
        found: dict[str, PlantRecord] = {}
        for one in sessions:
            _add(found, known[one.session][1])
        self._kept = known
        return found

    def _read_sessions(self, sessions: list[Judging]) -> dict[str, list[tuple[str, Outcome | None]]]:
        """Return, by session, version and outcome of each episode in which only one policy acted."""
        found = {one.session: list[tuple[str, Outcome | None]]() for one in sessions}
        plants = {one.session: one.plant for one in sessions}
        for episode in self._store.episodes(Selection(sessions=tuple(found), purpose=EVALUATE)):
            if len(episode.policy_versions) == 1:
                outcome = self._outcome(episode, plants[episode.session])
                found[episode.session].append((episode.policy_versions[0], outcome))
        return found

    def _outcome(self, episode: RecordedEpisode, plant: str) -> Outcome | None:
        scored = self._score(episode)
        return Outcome(plant, scored.cost, scored.success) if scored.judged else None

    def _read(self, wanted: Selection, plant: str) -> list[tuple[str, Outcome | None]]:
        """Return version and outcome of each episode in which only one policy acted."""
        found = []
        for episode in self._store.episodes(wanted):
            if len(episode.policy_versions) == 1:
                found.append((episode.policy_versions[0], self._outcome(episode, plant)))
        return found


def _add(found: dict[str, PlantRecord], outcomes: list[tuple[str, Outcome | None]]) -> None:
    for version, outcome in outcomes:
        record = found.setdefault(version, PlantRecord(version))
        if outcome is None:
            record.not_judged += 1
        else:
            record.outcomes.append(outcome)


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
