"""The demo, from one command to its files. Short trainings show the mechanics, `-m slow` the learning."""

import json
import re
import signal
import sys
from pathlib import Path

import pytest

from tests.support.programs import Programs, run

ROUND_KEYS = {
    "round", "policy_version", "real_seconds", "real_success", "real_cost", "simulation_success",
}  # fmt: skip
KEYS = {
    "seed", "task", "plant", "plant_parameters", "learned_fraction", "dynamics_model", "simulation_success",
    "rounds", "wall_seconds", "train_seconds", "refit_seconds",
}  # fmt: skip


def demo(tmp_path: Path, *arguments: str, timeout: float) -> tuple[dict, str, Path]:
    out, figures = tmp_path / "out", tmp_path / "figures.json"
    result = run("trainer.demo", "--out", str(out), "--json", str(figures), *arguments, timeout=timeout)
    assert result.returncode == 0, result.stdout + result.stderr
    return json.loads(figures.read_text()), result.stdout, out


def test_the_demo_goes_round_and_leaves_everything_in_one_directory(tmp_path: Path) -> None:
    arguments = ["--rounds", "1", "--epochs", "2", "--evaluations", "2", "--seconds-per-round", "2"]
    arguments += ["--gate", "off", "--dynamics-model", "friction"]
    figures, said, out = demo(tmp_path, *arguments, timeout=400.0)
    assert figures.keys() >= KEYS
    first, second = figures["rounds"]
    assert first.keys() >= ROUND_KEYS
    assert (first["round"], second["round"]) == (0, 1)
    assert (first["real_seconds"], second["real_seconds"]) == (0.0, pytest.approx(2.0))
    assert first["policy_version"] != second["policy_version"]
    assert first["fallback_steps"] == second["fallback_steps"] == 0
    assert "Closing the gap" in said
    assert first["policy_version"][:12] in said
    for name in (
        "trainer/hds.sqlite",
        "gap.png",
        "replay.html",
        "logs/controller.log",
        "real_env/spool.sqlite",
    ):
        assert (out / name).stat().st_size > 0
    assert {path.name for path in (out / "trainer" / "checkpoints").iterdir()} == {
        first["policy_version"],
        second["policy_version"],
    }


@pytest.mark.parametrize("inherited", [signal.SIG_DFL, signal.SIG_IGN], ids=["from a terminal", "from nohup"])
def test_ctrl_c_ends_the_demo_and_every_program_it_started(
    programs: Programs, inherited: signal.Handlers
) -> None:
    before = signal.signal(signal.SIGINT, inherited)
    try:
        demo = programs.start("trainer.demo", "--out", str(programs.root / "out"))
    finally:
        signal.signal(signal.SIGINT, before)
    started: list[int] = []
    while len(started) < 3:
        started += [int(pid) for pid in re.findall(r"started, process (\d+)", demo.line(60.0))]
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(timeout=10.0) == 130
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]


def test_an_output_directory_in_use_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    result = run("trainer.demo", "--out", str(tmp_path))
    assert result.returncode == 1
    assert "is not empty; name a new directory with --out" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_replay_needs_no_network(tmp_path: Path) -> None:
    from protos.hds import v1
    from trainer.report.replay import write_replay

    rows = [
        v1.Transition(
            x=[0.1 * i, 3.0, 0.0, 0.0], u_applied=[0.5], t_ns=i * 40_000_000, policy_version="</script>"
        )
        for i in range(3)
    ]
    write_replay(tmp_path / "replay.html", rows, "an episode")
    page = (tmp_path / "replay.html").read_text()
    assert not re.search(r"https?://|\bsrc=|\bhref=|@import|fetch\(|XMLHttpRequest", page)
    (data,) = re.findall(r"const episode = (.*);\n", page)
    assert json.loads(data)["t"] == pytest.approx([0.0, 0.04, 0.08])
    assert page.count("</script>") == 1, "recorded text cannot end the script"


@pytest.mark.slow
def test_a_refit_that_the_gate_refuses_is_shown_and_the_policy_before_goes_on(tmp_path: Path) -> None:
    arguments = ["--rounds", "1", "--dynamics-model", "black-box", "--seconds-per-round", "2"]
    figures, said, _ = demo(tmp_path, *arguments, "--evaluations", "4", timeout=900.0)
    assert "the gate refuses it: " in said
    assert "the policy before stays" in said
    before, after = figures["rounds"]
    assert after["policy_version"] == before["policy_version"]


@pytest.mark.slow
def test_the_gap_opens_in_the_mean_and_closes_for_every_seed(tmp_path: Path) -> None:
    unaided = []
    for seed in (0, 1, 2):
        (tmp_path / str(seed)).mkdir()
        figures, _, _ = demo(tmp_path / str(seed), "--seed", str(seed), "--rounds", "3", timeout=900.0)
        print(json.dumps(figures), file=sys.stderr)
        first, *_, last = figures["rounds"]
        assert figures["simulation_success"] >= 0.95
        unaided.append(first["real_success"])
        assert first["real_cost"] >= 1.4 * last["real_cost"]
        assert last["real_seconds"] <= 20.0
        assert last["real_success"] >= 0.90
    assert sum(unaided) / len(unaided) <= 0.40
