"""What policies did on the plant, over the episodes that only judge.

An episode counts for a policy if no other acted in it, and if its success can be told.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from protos.hds import v1
from trainer.services.scoring import Score
from trainer.store.experience import ExperienceStore
from trainer.store.records import EVALUATE, RecordedEpisode, Selection

CONFIDENCE = 0.95
ScoreEpisode = Callable[[RecordedEpisode], Score]


class Outcome(NamedTuple):
    """One judged episode: the plant, and what came of it."""

    plant: str
    cost: float
    success: bool


@dataclasses.dataclass
class PlantRecord:
    """What one policy did on plants: judged episodes, and how many are not judged."""

    version: str
    outcomes: list[Outcome] = dataclasses.field(default_factory=list)
    not_judged: int = 0

    def on(self, plants: Iterable[str]) -> "PlantRecord":
        """Return what it did on some plants alone."""
        return PlantRecord(
            self.version, [o for o in self.outcomes if o.plant in set(plants)], self.not_judged
        )

    @property
    def costs(self) -> np.ndarray:
        """Costs of the judged episodes."""
        return np.array([outcome.cost for outcome in self.outcomes], float)

    @property
    def successes(self) -> int:
        """How many judged episodes succeeded."""
        return sum(outcome.success for outcome in self.outcomes)

    def message(self) -> v1.PolicyScore:
        """Return it with 95 % intervals: Wilson's for the success, Student's t for the mean cost."""
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


def plant_records(store: ExperienceStore, score: ScoreEpisode, wanted: Selection) -> dict[str, PlantRecord]:
    """Return what each policy did in the evaluation episodes of a selection, by version."""
    wanted = dataclasses.replace(wanted, purpose=EVALUATE)
    found: dict[str, PlantRecord] = {}
    for summary in store.sessions(wanted):  # one in memory at a time
        one = dataclasses.replace(wanted, sessions=(summary.session.id,))
        for episode in store.episodes(one):
            if len(episode.policy_versions) != 1:
                continue
            record = found.setdefault(episode.policy_versions[0], PlantRecord(episode.policy_versions[0]))
            scored = score(episode)
            if scored.judged:
                record.outcomes.append(Outcome(summary.session.plant, scored.cost, scored.success))
            else:
                record.not_judged += 1
    return found


def why_worse(candidate: PlantRecord, present: PlantRecord) -> str:
    """Return in what the present policy did significantly better on the plants that both drove; else empty.

    Successes are compared by Fisher's exact test; where these do not differ, costs by Welch's t-test.
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
