"""The gate between publishing a policy and labelling it: what is believed of a training before it may act.

A policy gets the label that was asked for only if

- its fit predicts held-out motion no worse than the plain simulator and than "nothing moves", beyond two
  standard errors and the sensors' noise (a first training has no fit to judge);
- it succeeds in its model in at least `threshold` of the episodes, where the task says what success is;
- it costs less there than no action and than the untrained network, by two standard errors;
- at most 1 % of the training's steps was left out as not finite;
- where its dynamics are a network alone, at most 10 % of its steps lead where nothing was recorded.

Notation
    c    costs of episodes from the same start states        [B]
    d    differences of c, policy minus reference            [B]
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from trainer.dynamics.rung import Fit, HorizonError
from trainer.jobs.request import Verdict

THRESHOLD = 0.9
"""Least success in the model, where neither task nor request say one."""
ERRORS = 2.0
"""Standard errors by which something must be better, or may not be worse."""
MOST_LEFT_OUT, MOST_OUTSIDE = 0.01, 0.1
MOST_COST = 1e9
"""Stands for a cost that is not finite."""


class Judged(NamedTuple):
    """What a policy, or a reference, did in the model: `success[B]` and `cost[B]`."""

    success: np.ndarray
    cost: np.ndarray


@dataclass(frozen=True)
class Evidence:
    """What a training shows for itself.

    Attributes:
        policy: the trained one, in its model.
        references: others in the same model from the same start states, by name.
        fit: learned dynamics; None for a training in the simulator.
        left_out: share of the training's steps that were not finite.
        has_success: whether the task says itself what success is.
        threshold: least success.
        outside: share of the policy's steps where nothing was recorded, for dynamics that don't extrapolate.
    """

    policy: Judged
    references: Mapping[str, Judged]
    fit: Fit | None
    left_out: float
    has_success: bool
    threshold: float
    outside: float = 0.0


def judge(evidence: Evidence) -> Verdict:
    """Return the verdict."""
    reasons, notes = [], []
    fit = evidence.fit
    if fit is None:
        notes.append("there is no fit to judge: the policy was trained in the simulator")
    elif not fit.errors:
        notes.append("the fit was not judged: the data is too short to hold some of it out")
    else:
        reasons += _fit(fit.errors[min(fit.errors)])
    if evidence.has_success:
        reasons += _success(evidence)
    else:
        notes.append("the task has no success of its own: the policy is judged by its cost")
    reasons += [why for name, other in evidence.references.items() if (why := _worse(evidence, name, other))]
    if evidence.left_out > MOST_LEFT_OUT:
        reasons.append(
            f"{evidence.left_out:.1%} of the training's steps were left out as not finite, allowed are "
            f"{MOST_LEFT_OUT:.0%}: the trainer's log names the first of them"
        )
    if evidence.outside > MOST_OUTSIDE:
        reasons.append(
            f"{evidence.outside:.0%} of the policy's steps in its model lead where nothing was recorded, and "
            f"a network alone knows nothing there (at most {MOST_OUTSIDE:.0%} may): record more with "
            "policies that get there, or take another --dynamics-model"
        )
    return Verdict(not reasons, tuple(reasons), tuple(notes))


def _fit(error: HorizonError) -> list[str]:
    """Return which references predict better than the fit."""
    reasons = []
    for name, comparison in (
        ("the plain simulator", error.over_simulator),
        ("'nothing moves'", error.over_still),
    ):
        if comparison is None or not comparison.counts or comparison.mean <= ERRORS * comparison.error:
            continue
        reasons.append(
            f"the fit predicts held-out motion {comparison.ahead_s:.2g} s ahead worse than {name}: mean "
            "squared error, in units of the typical change, is higher by "
            f"{comparison.mean:.3g} ± {comparison.error:.2g} (standard error): record more data, name "
            "another --dynamics-model, or look for what the data contradicts ('hds-real-env check')"
        )
    return reasons


def _success(evidence: Evidence) -> list[str]:
    success = float(np.mean(evidence.policy.success))
    if success >= evidence.threshold:
        return []
    return [
        f"success in its model is {success:.2f}, needed is {evidence.threshold:.2f}: train longer "
        "(--epochs), or lower the bar (--gate)"
    ]


def _worse(evidence: Evidence, name: str, other: Judged) -> str:
    """Return why the policy is not better than a reference; empty if it is.

    More success is better, too: an episode that ends early costs little.
    """
    policy = evidence.policy
    gained = np.asarray(policy.success, float) - np.asarray(other.success, float)
    if evidence.has_success and np.mean(gained) > ERRORS * _standard_error(gained) > 0.0:
        return ""
    if evidence.has_success and np.all(gained == 1.0):
        return ""
    d = _finite(policy.cost) - _finite(other.cost)
    mean, error = float(np.mean(d)), _standard_error(d)
    if mean + ERRORS * error < 0.0:
        return ""
    return (
        f"its cost in its model is not below that of {name}: {np.mean(_finite(policy.cost)):.3g} against "
        f"{np.mean(_finite(other.cost)):.3g}, a difference of {mean:.3g} ± {error:.2g} "
        "(standard error): it has learned nothing that helps"
    )


def _finite(cost: np.ndarray) -> np.ndarray:
    return np.nan_to_num(np.asarray(cost, float), nan=MOST_COST, posinf=MOST_COST)


def _standard_error(values: np.ndarray) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))
