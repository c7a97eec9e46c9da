"""Hyper-parameters: who sets them, what is refused, and that a training can be repeated from them."""

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

import pytest

from trainer.checkpoint.metadata import PolicyMetadata
from trainer.checkpoint.reader import read_policy
from trainer.jobs.hyper_parameters import REFIT_EPOCHS, SIMULATION_EPOCHS, configuration_of
from trainer.jobs.recipe import run
from trainer.jobs.request import JobRequest
from trainer.learning.configuration import Configuration, configuration, to_toml
from trainer.tasks import load_task

TASK = load_task("cartpole_swingup")
SMALL = """
[training]
epochs = 2
evaluation_episodes = 8

[network]
policy_hidden = [8]
value_hidden = [8, 8]
activation = "relu"

[pods]
batch = 8
horizon = 4
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[pod]\nbatch = 1", r"there is no table \[pod\]; the tables are: training, network, pods"),
        ("[pods]\nbach = 1", r"there is no pods.bach; the entries of \[pods\] are: batch, horizon"),
        ("[pods]\nbatch = 0", r"pods.batch must be in \[1, inf\]; got 0"),
        ("[pods]\nbatch = 1.5", "pods.batch must be a whole number; got 1.5"),
        ("[pods]\nbatch = true", "pods.batch must be a whole number; got True"),
        ("[pods]\ndiscount = 1.5", r"pods.discount must be in \[1e-06, 1\]; got 1.5"),
        ("[hds]\nnoise = nan", r"hds.noise must be in \[0, inf\]; got nan"),
        ("[hds]\nnoise = 'much'", "hds.noise must be a number; got 'much'"),
        (
            "[network]\nactivation = 'sine'",
            "network.activation must be one of tanh, relu, elu, swish; got 'sine'",
        ),
        ("[network]\npolicy_hidden = 64", "network.policy_hidden must be a list; got 64"),
        ("[network]\npolicy_hidden = [64, 0]", r"network.policy_hidden must be in \[1, inf\]"),
        ("batch = 3", "batch = 3 outside of a table"),
        ("[pods\nbatch = 3", "the configuration is no TOML: .*line 1"),
    ],
)
def test_a_wrong_entry_is_named_with_its_value_and_the_choices(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        configuration_of(TASK, text, 0, refit=False)


def test_options_override_a_file_which_overrides_the_task_which_overrides_the_defaults() -> None:
    task = dataclasses.replace(
        TASK, learning={"pods": {"batch": 7, "horizon": 5}, "training": {"epochs": 40}}
    )
    found = configuration_of(task, "[pods]\nhorizon = 6\n[training]\nepochs = 50", 60, refit=False)
    assert (found.pods.batch, found.pods.horizon, found.training.epochs) == (7, 6, 60)
    assert found.pods.discount == Configuration().pods.discount


@pytest.mark.parametrize(("refit", "epochs"), [(False, SIMULATION_EPOCHS), (True, REFIT_EPOCHS)])
def test_a_training_whose_epochs_nobody_sets_may_be_continued_and_another_one_is_not(
    refit: bool, epochs: int
) -> None:
    unset, given = (configuration_of(TASK, "", epochs, refit).training for epochs in (0, 9))
    assert (unset.epochs, unset.rounds) == (epochs, 3)
    assert (given.epochs, given.rounds) == (9, 1)


def test_every_entry_is_written_and_read_back() -> None:
    found = configuration(tomllib.loads(SMALL))
    assert configuration(tomllib.loads(to_toml(found.tables()))) == found
    assert set(found.tables()) == {table.name for table in dataclasses.fields(Configuration)}


def trained(directory: Path, **wanted: Any) -> PolicyMetadata:
    """Carry out a small training; return what its checkpoint says, and the version as `parent`."""
    request = JobRequest(False, TASK.name, 3, 0, "", None, "", "", directory, **wanted)
    version = run(request, lambda progress: None).version
    return dataclasses.replace(read_policy(directory / version, version).metadata, parent=version)


def test_a_training_repeated_from_what_its_checkpoint_says_gives_the_same_version(tmp_path: Path) -> None:
    first = trained(tmp_path / "first", config=SMALL)
    saved = first.configuration
    again = trained(tmp_path / "again", config=to_toml(saved["tables"]), algorithm=saved["algorithm"])
    assert again == first
    assert (saved["seed"], first.policy.hidden, first.policy.activation) == (3, (8,), "relu")
    assert saved["tables"]["pods"]["batch"] == 8
    assert saved["code"]
