"""The figures of every epoch of a job: stored with it, streamed while it runs, printed as CSV."""

import csv
import io
import math

import pytest

from protos.hds import v1
from tests.support.programs import Programs, asked, ready
from trainer.client import TrainerClient
from trainer.store.database import open_database
from trainer.store.jobs import JobStore
from trainer.store.records import Epoch

RECORDED = {
    "cost_per_step",
    "improved_cost",
    "gradient_median",
    "gradient_p99",
    "policy_loss",
    "value_loss",
    "left_out_steps",
}
"""What PODS computes in each epoch."""


def test_epochs_are_stored_once_and_read_from_any_number_on(database: str) -> None:
    store = JobStore(open_database(database))
    epochs = [Epoch(number, 5 * number, {"cost": 1.0 / number}) for number in range(1, 5)]
    store.add_epochs("7", epochs[:3])
    store.add_epochs("7", epochs[1:])
    store.add_epochs("8", [Epoch(1, 0, {"cost": 9.0})])
    assert store.epochs("7") == epochs
    assert store.epochs("7", after=3) == epochs[3:]


def test_a_figure_that_is_not_finite_is_kept_as_such(database: str) -> None:
    store = JobStore(open_database(database))
    store.add_epochs("1", [Epoch(1, 0, {"cost": math.nan, "loss": math.inf, "steps": 2.0})])
    (epoch,) = store.epochs("1")
    assert math.isnan(epoch.scalars["cost"])
    assert math.isnan(epoch.scalars["loss"])
    assert epoch.scalars["steps"] == 2.0


def test_every_scalar_of_every_epoch_is_recorded_and_outlives_the_trainer(programs: Programs) -> None:
    program, address = programs.trainer()
    ready(address)
    options = v1.TrainingOptions(task="cartpole_swingup", epochs=8, gate_off=True)
    client = TrainerClient(address)
    job = client.start_training(options)
    followed = list(client.epochs(job.id))
    assert [epoch.number for epoch in followed] == list(range(1, 9))
    assert all(set(epoch.scalars) >= RECORDED for epoch in followed)
    assert sum("best_success" in epoch.scalars for epoch in followed) >= 1
    done = client.job(job.id)
    last = followed[-1].scalars
    assert done.metrics["training_cost_per_step"] == pytest.approx(last["cost_per_step"])
    assert done.metrics["policy_loss"] == pytest.approx(last["policy_loss"])
    program.ask_to_end()
    program.end()
    _, address = programs.trainer()
    ready(address)
    printed = asked("jobs", job.id, "--curves", "--trainer", address)
    rows = list(csv.DictReader(io.StringIO(printed.stdout)))
    assert [int(row["epoch"]) for row in rows] == list(range(1, 9))
    for row, epoch in zip(rows, followed, strict=True):
        assert float(row["improved_cost"]) == pytest.approx(epoch.scalars["improved_cost"])
        assert (row["best_cost"] == "") == ("best_cost" not in epoch.scalars)
