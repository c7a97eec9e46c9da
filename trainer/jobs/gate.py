"""The gate between the publication of a policy and its label: conditions on the fit and on the training.

A policy gets the requested label only if

- the prediction error of its dynamics on held-out data is not above that of the simulator and of the
  persistence baseline, by more than two standard errors and the sensors' noise (a training without data has
  no fit);
- its success rate in its model is at least `threshold`, if the task defines success;
- its cost there is below that of no action and of the untrained network, by two standard errors;
- at most 1 % of the training's steps were left out as not finite;
- if its dynamics model is a network alone, at most 10 % of its steps leave the recorded states.

Notation
    c    costs of episodes from the same start states        [B]
    d    differences of c, policy minus reference            [B]
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from trainer.dynamics.dynamics_model import Fit, HorizonError
from trainer.jobs.request import Verdict

THRESHOLD = 0.9
"""Least success rate in the model, unless the task or the request sets one."""
ERRORS = 2.0
"""Standard errors of a significant difference."""
MOST_LEFT_OUT, MOST_OUTSIDE = 0.01, 0.1
MOST_COST = 1e9
"""Replaces a cost that is not finite."""


class EpisodeScores(NamedTuple):
    """Scores of a policy, or a reference, in the model: `success[B]` and `cost[B]`."""

    success: np.ndarray
    cost: np.ndarray


@dataclass(frozen=True)
class Evidence:
    """The results of a training that the gate looks at.

    Attributes:
        policy: scores of the trained policy in its model.
        references: scores of others in the same model from the same start states, by name.
        fit: learned dynamics; None for a training in the simulator.
        left_out: share of the training's steps that were not finite.
        has_success: whether the task defines success.
        threshold: least success rate.
        outside: share of the policy's steps outside the recorded states, for dynamics that don't extrapolate.
    """

    policy: EpisodeScores
    references: Mapping[str, EpisodeScores]
    fit: Fit | None
    left_out: float
    has_success: bool
    threshold: float
    outside: float = 0.0


def evaluate_gate(evidence: Evidence) -> Verdict:
    """Return the verdict."""
    reasons, notes = [], []
    fit = evidence.fit
    if fit is None:
        notes.append("there is no fit to validate: the policy was trained in the simulator")
    elif not fit.errors:
        notes.append("the fit was not validated: the data are too short to hold any out")
    else:
        reasons += _fit(fit.errors[min(fit.errors)])
    if evidence.has_success:
        reasons += _success(evidence)
    else:
        notes.append("the task defines no success: the policy is judged by its cost")
    reasons += [why for name, other in evidence.references.items() if (why := _worse(evidence, name, other))]
    if evidence.left_out > MOST_LEFT_OUT:
        reasons.append(
            f"{evidence.left_out:.1%} of the training's steps were left out as not finite, allowed are "
            f"{MOST_LEFT_OUT:.0%}: the trainer's log names the first of them"
        )
    if evidence.outside > MOST_OUTSIDE:
        reasons.append(
            f"{evidence.outside:.0%} of the policy's steps in its model leave the recorded states, where a "
            f"network alone can't predict (at most {MOST_OUTSIDE:.0%} may): record data there, or choose "
            "another --dynamics-model"
        )
    return Verdict(not reasons, tuple(reasons), tuple(notes))


def _fit(error: HorizonError) -> list[str]:
    """Return the references that predict better than the fit."""
    reasons = []
    for name, comparison in (
        ("the simulator", error.over_simulator),
        ("the persistence baseline (no change)", error.over_persistence),
    ):
        if comparison is None or not comparison.counts or comparison.mean <= ERRORS * comparison.error:
            continue
        reasons.append(
            f"the fit predicts held-out data {comparison.ahead_s:.2g} s ahead worse than {name}: the mean "
            "squared error, in units of the typical change, is higher by "
            f"{comparison.mean:.3g} ± {comparison.error:.2g} (standard error): record more data, name "
            "another --dynamics-model, or check signs and units of the data ('hds-real-env check')"
        )
    return reasons


def _success(evidence: Evidence) -> list[str]:
    success = float(np.mean(evidence.policy.success))
    if success >= evidence.threshold:
        return []
    return [
        f"its success rate in its model is {success:.2f}, needed is {evidence.threshold:.2f}: train longer "
        "(--epochs), or lower the bar (--gate)"
    ]


def _worse(evidence: Evidence, name: str, other: EpisodeScores) -> str:
    """Return why the policy is not better than a reference; empty if it is.

    More success counts as better at any cost, since an episode that ends early costs little.
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
        "(standard error): the training has not helped"
    )


def _finite(cost: np.ndarray) -> np.ndarray:
    return np.nan_to_num(np.asarray(cost, float), nan=MOST_COST, posinf=MOST_COST)


def _standard_error(values: np.ndarray) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))
