import pytest

from protos.hds import v1
from real_env.phases import Phase, parse


@pytest.mark.parametrize(
    ("text", "phase"),
    [
        ("collect 5 seconds", Phase(v1.PURPOSE_COLLECT, seconds=5.0)),
        ("  evaluate 32 episodes\n", Phase(v1.PURPOSE_EVALUATE, episodes=32)),
        ("evaluate 0.5 seconds", Phase(v1.PURPOSE_EVALUATE, seconds=0.5)),
        ("collect 1 episode", Phase(v1.PURPOSE_COLLECT, episodes=1)),
    ],
)
def test_a_phase_is_read_from_its_words_and_written_in_them(text: str, phase: Phase) -> None:
    assert parse(text) == phase
    assert parse(str(phase)) == phase


@pytest.mark.parametrize(
    "text", ["", "collect", "collect five seconds", "evaluate 0 episodes", "dance 3 seconds"]
)
def test_other_words_are_answered_with_the_form(text: str) -> None:
    with pytest.raises(ValueError, match="is no phase; write 'collect SECONDS seconds' or 'evaluate NUMBER"):
        parse(text)


def test_half_an_episode_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be whole, got 1\.5"):
        parse("evaluate 1.5 episodes")
