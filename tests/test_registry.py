import pytest

from trainer.store.database import open_database
from trainer.store.registry import AmbiguousLabel, LabelMoved, PolicyEntry, Registry


@pytest.fixture
def registry(database: str) -> Registry:
    registry = Registry(open_database(database))
    for version in ("aaa", "bbb"):
        registry.publish(PolicyEntry(version, "cartpole_swingup", "", 0.0, {"cost": 1.0}))
    return registry


def test_a_label_moves_and_says_where_it_was(registry: Registry) -> None:
    assert registry.set_label("stable", "aaa") == ""
    assert registry.set_label("stable", "bbb") == "aaa"
    assert registry.labelled("stable") == ("cartpole_swingup", "bbb")
    assert [(p.version, p.labels) for p in registry.policies()] == [("aaa", ()), ("bbb", ("stable",))]


def test_a_label_that_moved_meanwhile_stays(registry: Registry) -> None:
    registry.set_label("stable", "aaa")
    with pytest.raises(LabelMoved, match="points to aaa, not to nothing"):
        registry.set_label("stable", "bbb", expected="")
    assert registry.labelled("stable") == ("cartpole_swingup", "aaa")


def test_each_task_has_labels_of_its_own(registry: Registry) -> None:
    registry.publish(PolicyEntry("ccc", "pendulum", "", 0.0, {}))
    registry.set_label("stable", "aaa")
    assert registry.set_label("stable", "ccc") == ""
    assert registry.labelled("stable", "cartpole_swingup") == ("cartpole_swingup", "aaa")
    assert registry.labelled("stable", "pendulum") == ("pendulum", "ccc")
    assert registry.labelled("stable", "juggle") == ("juggle", "")
    with pytest.raises(
        AmbiguousLabel, match="several tasks: cartpole_swingup, pendulum; choose one with --task"
    ):
        registry.labelled("stable")


def test_an_unknown_version_is_answered_with_the_published_ones(registry: Registry) -> None:
    with pytest.raises(LookupError, match="no policy has the version 'ccc'; published: aaa, bbb"):
        registry.set_label("stable", "ccc")


@pytest.mark.parametrize("label", ["", "Stable", "with space", "1st", "x" * 40])
def test_a_malformed_label_is_refused_with_the_form(registry: Registry, label: str) -> None:
    with pytest.raises(ValueError, match="is no label; it takes a lower-case letter"):
        registry.set_label(label, "aaa")


def test_publishing_twice_changes_nothing(registry: Registry) -> None:
    before = registry.policies()
    registry.publish(PolicyEntry("aaa", "another", "x", 9.0, {}))
    assert registry.policies() == before
