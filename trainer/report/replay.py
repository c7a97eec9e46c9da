"""A replay of one episode as a page that needs no network."""

import json
from importlib import resources
from pathlib import Path

from protos.hds import v1


def write_replay(path: Path, transitions: list[v1.Transition], title: str) -> None:
    """Write a self-contained page that plays `transitions` of a cart-pole."""
    frames = {
        "title": title,
        "t": [row.t_ns * 1e-9 - transitions[0].t_ns * 1e-9 for row in transitions],
        "cart": [row.x[0] for row in transitions],
        "pole": [row.x[1] for row in transitions],
        "push": [row.u_applied[0] for row in transitions],
        "policy": [row.policy_version[:12] for row in transitions],
    }
    page = resources.files("trainer.report").joinpath("replay.html").read_text()
    path.write_text(page.replace("/*EPISODE*/null", json.dumps(frames).replace("</", "<\\/")))
