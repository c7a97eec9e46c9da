"""What is believed of a training before its policy may act."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from protos.hds import v1
from tests.support.plain import session, transition
from tests.support.programs import Programs, asked, ready
from trainer.client import CallFailed, TrainerClient
from trainer.commands.gating import GateRefused, check_labelled, labelled
from trainer.dynamics.catalogue import load_dynamics
from trainer.dynamics.dynamics_model import Comparison, Fit, HorizonError
from trainer.jobs.gate import EpisodeScores, Evidence, evaluate_gate
from trainer.jobs.task_check import check_task, why_nothing
from trainer.services.plant_scores import Outcome, PlantRecord, why_worse
from trainer.tasks import load_task
from trainer.tasks.brax_task import brax_task

TASK = load_task("cartpole_swingup")


def episode_scores(success: float, cost: float, spread: float = 5.0, seed: int = 0) -> EpisodeScores:
    random = np.random.default_rng(seed)
    return EpisodeScores(random.uniform(size=256) < success, cost + spread * random.normal(size=256))


def fit(over_simulator: Comparison | None = None, over_persistence: Comparison | None = None) -> Fit:
    error = HorizonError((0.1,), (0.2,), (0.3,), 0.1, over_simulator, over_persistence)
    return Fit(None, {0.5: error}, {})


def evidence(**changed: object) -> Evidence:
    """Return the evidence of a training that went well."""
    references = {
        "no action": episode_scores(0.0, 300.0, seed=1),
        "the untrained network": episode_scores(0.0, 290.0, seed=2),
    }
    sound = Evidence(episode_scores(0.99, 80.0), references, fit(), 0.0, True, 0.9)
    return dataclasses.replace(sound, **changed)  # pyright: ignore[reportArgumentType]


def test_a_training_that_went_well_passes() -> None:
    assert evaluate_gate(evidence()).passed


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"policy": episode_scores(0.5, 80.0)}, "its success rate in its model is 0."),
        ({"policy": episode_scores(0.0, 302.0, seed=3), "threshold": 0.0}, "not below that of no action"),
        ({"left_out": 0.02}, "2.0% of the training's steps were left out"),
        ({"outside": 0.4}, "40% of the policy's steps in its model leave the recorded states"),
        ({"fit": fit(Comparison(0.5, 0.1, True))}, "worse than the simulator"),
        ({"fit": fit(None, Comparison(0.5, 0.1, True))}, "worse than the persistence baseline"),
    ],
)
def test_what_went_wrong_is_named_with_what_to_try(changed: dict, reason: str) -> None:
    verdict = evaluate_gate(evidence(**changed))
    assert not verdict.passed
    assert any(reason in why for why in verdict.reasons), verdict.reasons


def test_differences_within_two_standard_errors_or_the_noise_do_not_count_against_a_fit() -> None:
    for comparison in (Comparison(0.19, 0.1, True), Comparison(0.5, 0.1, False), Comparison(-0.5, 0.1, True)):
        assert evaluate_gate(evidence(fit=fit(comparison, comparison))).passed


def test_a_first_training_has_no_fit_to_validate_and_a_task_without_success_is_judged_by_cost() -> None:
    verdict = evaluate_gate(evidence(fit=None, has_success=False, policy=episode_scores(0.0, 80.0)))
    assert verdict.passed
    assert "there is no fit to validate" in verdict.notes[0]
    assert "the task defines no success" in verdict.notes[1]


def test_surviving_is_better_than_ending_early_at_little_cost() -> None:
    references = {"no action": episode_scores(0.0, 2.0, 0.1, seed=1)}
    assert evaluate_gate(evidence(policy=episode_scores(1.0, 3.0, 0.1), references=references)).passed


def test_a_fit_is_compared_with_both_references_start_by_start() -> None:
    from tests.support.pendulum_motion import recorded

    motions = [recorded(0)]
    found = load_dynamics("friction").fit(TASK, motions, jax.random.key(0), lambda share: None).errors[0.5]
    assert found.over_simulator is not None
    assert found.over_persistence is not None
    assert found.over_simulator.mean < -2.0 * found.over_simulator.error < 0.0
    assert found.over_persistence.mean < 0.0


def test_a_residual_that_is_not_finite_at_some_start_states_is_named_before_anything_is_trained() -> None:
    def residual(x: jax.Array, u: jax.Array) -> jax.Array:
        return jnp.append(TASK.residual(x, u), jnp.sqrt(x[0] + 0.4))  # not a number for some of the starts

    with pytest.raises(ValueError, match=r"component 6 of the residual is nan at the state \[-.*that reset"):
        check_task(dataclasses.replace(TASK, residual=residual), jax.random.key(0))


def test_start_states_that_are_not_finite_are_named() -> None:
    def reset(key: jax.Array) -> jax.Array:
        x = TASK.reset(key)
        return x.at[2].set(jnp.where(x[0] > 0.3, jnp.nan, x[2]))

    with pytest.raises(
        ValueError, match=r"reset draws states that are not finite: cart velocity \[m/s\] is nan"
    ):
        check_task(dataclasses.replace(TASK, reset=reset), jax.random.key(0))


def test_the_derivative_at_fault_is_named_where_nothing_was_learned() -> None:
    def model(theta: object, x: jax.Array, u: jax.Array) -> jax.Array:
        return x + jnp.append(u, jnp.zeros(3)) + 0.0 * jnp.sqrt(jnp.abs(x - jax.lax.stop_gradient(x)))

    why = why_nothing(TASK, model, None, jax.random.key(0))
    assert "the model's derivatives with respect to the state are not finite" in why


def test_a_brax_task_says_whether_it_has_a_success_of_its_own() -> None:
    import brax.envs

    env = brax.envs.get_environment("inverted_pendulum", backend="generalized")
    residual = lambda x, u: jnp.concatenate([x, u])  # noqa: E731
    assert not brax_task(env, residual, 10).has_success
    assert brax_task(env, residual, 10, success=lambda x: jnp.ones((), bool)).has_success


def trained(client: TrainerClient, **options: object) -> v1.Job:
    wanted = v1.TrainingOptions(task=TASK.name, epochs=1, label="stable", **options)  # pyright: ignore
    return client.follow(client.start_training(wanted).id, lambda job: None)


def test_a_policy_that_learned_too_little_is_published_without_its_label_and_the_audit_says_so(
    programs: Programs,
) -> None:
    _, address = programs.trainer()
    ready(address)
    client = TrainerClient(address)
    said = asked("train", "--epochs", "1", "--label", "stable", "--trainer", address)
    assert said.returncode == 3
    assert "is published, without the label 'stable'" in said.stderr
    refused = client.job("1")
    assert not labelled(refused)
    with pytest.raises(
        GateRefused, match=r"without the label 'stable': its success rate in its model is 0\.0"
    ):
        check_labelled(refused)
    assert [list(policy.labels) for policy in client.policies()] == [[]]
    shown = asked("jobs", refused.id, "--trainer", address)
    assert "without label 'stable': its success rate in its model is" in shown.stdout
    assert "model_success" in shown.stdout
    off = trained(client, gate_off=True, seed=1)
    assert labelled(off)
    assert [list(policy.labels) for policy in client.policies()] == [[], ["stable"]]
    for gate in ("1.5", "x"):
        wrong = asked("train", "--gate", gate, "--trainer", address)
        assert wrong.returncode == 1
        assert f"--gate is '{gate}'; give a number in [0, 1], or off" in wrong.stderr


def test_data_of_several_plants_is_learned_from_only_if_that_is_said(programs: Programs) -> None:
    _, address = programs.trainer()
    ready(address)
    client = TrainerClient(address)
    for plant in ("left", "right"):
        spec = v1.PlantSpec()
        spec.CopyFrom(session().plant)
        spec.name = plant
        rows = [transition(sequence) for sequence in range(20)]
        client.append([v1.AppendRequest(session=session(plant, spec), transitions=rows)])
    options = v1.TrainingOptions(task=TASK.name, epochs=1, gate_off=True)
    with pytest.raises(
        CallFailed, match=r"the data is of 2 plants: left, right; choose with --data\.plants, or"
    ):
        client.start_refit(v1.StartRefitRequest(options=options))
    one = client.start_refit(v1.StartRefitRequest(options=options, data=v1.Selection(plants=["left"])))
    both = client.start_refit(v1.StartRefitRequest(options=options, mix=True))
    assert one.notes[0] == "it learns from 1 sessions of plant left (left)"
    assert both.notes[0] == "it learns from 2 sessions of plant left (left); right (right)"


def record(
    version: str, successes: int, episodes: int, cost: float = 80.0, plant: str = "rig"
) -> PlantRecord:
    random = np.random.default_rng(len(version))
    outcomes = [Outcome(plant, cost + float(random.normal()), k < successes) for k in range(episodes)]
    return PlantRecord(version, tuple(outcomes))


def test_what_a_policy_did_on_the_plant_has_intervals() -> None:
    score = record("a", 30, 32).message
    assert score.success == pytest.approx(0.9375)
    assert (score.success_low, score.success_high) == (
        pytest.approx(0.799, abs=2e-3),
        pytest.approx(0.983, abs=2e-3),
    )
    assert score.cost_low < score.cost < score.cost_high < score.cost + 1.0


@pytest.mark.parametrize(
    ("candidate", "present", "why"),
    [
        (record("aa", 3, 32), record("b", 30, 32), "succeeded in 30 of 32 episodes on the plant"),
        (record("aa", 30, 32), record("b", 3, 32), ""),
        (record("aa", 30, 32, 90.0), record("b", 30, 32, 80.0), "cost 79.97"),
        (record("aa", 30, 32), record("b", 31, 32), ""),
        (record("aa", 3, 32), record("b", 30, 32, plant="another"), ""),
        (record("aa", 0, 1), record("b", 30, 32), ""),
    ],
)
def test_a_policy_is_worse_only_if_it_did_significantly_worse_on_the_same_plant(
    candidate: PlantRecord, present: PlantRecord, why: str
) -> None:
    found = why_worse(candidate, present)
    assert bool(found) == bool(why)
    assert why in found


def test_a_label_is_not_moved_to_a_policy_that_did_worse_on_the_plant_without_force(
    programs: Programs, publish: Callable[..., str], tmp_path: Path
) -> None:
    better, worse = publish(seed=1), publish(seed=2, label="candidate")
    _, address = programs.trainer()
    ready(address)
    client = TrainerClient(address)
    for version, upright in ((better, 0.0), (worse, 3.14)):
        rows = []
        for episode in range(8):
            for k in range(TASK.episode_steps):
                row = transition(len(rows), v1.PURPOSE_EVALUATE)
                row.episode, row.policy_version = episode, version
                row.x[:], row.x_next[:] = [0.0, upright, 0.0, 0.0], [0.0, upright, 0.0, 0.0]
                row.truncated = k + 1 == TASK.episode_steps
                rows.append(row)
        client.append([v1.AppendRequest(session=session(version[:8]), transitions=rows)])
    listed = asked("policies", "--trainer", address).stdout
    assert "on the plant: success 1.00 (0.68 to 1.00)" in listed
    assert "on the plant: success 0.00 (0.00 to 0.32)" in listed
    refused = asked("promote", worse, "--trainer", address)
    assert refused.returncode == 1
    assert "label 'stable' is not moved" in refused.stderr
    assert "succeeded in 8 of 8 episodes on the plant" in refused.stderr
    assert asked("promote", worse, "--force", "--trainer", address).returncode == 0


def test_an_episode_shorter_than_the_tasks_is_not_judged_and_one_that_terminated_is(
    programs: Programs,
) -> None:
    _, address = programs.trainer()
    ready(address)
    client = TrainerClient(address)
    rows = [transition(sequence, v1.PURPOSE_EVALUATE) for sequence in range(20)]
    for row in rows:
        row.episode = row.sequence // 10
    rows[9].truncated, rows[19].terminated = True, True
    rows[9].end, rows[19].end = v1.END_CAUSE_CLOCK, v1.END_CAUSE_STATE_LIMIT
    client.append([v1.AppendRequest(session=session(), transitions=rows)])
    short, ended = client.episodes("s1", v1.PURPOSE_EVALUATE)
    assert (short.judged, short.end) == (False, v1.END_CAUSE_CLOCK)
    assert (ended.judged, ended.success, ended.end) == (True, False, v1.END_CAUSE_STATE_LIMIT)
    table = asked("experience", "--episodes", "--trainer", address).stdout
    assert "not judged" in table
    assert "terminated (state" in table
