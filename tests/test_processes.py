"""A program that ends is reported with the reason that it gave, wherever it gave it."""

import os
from pathlib import Path

import pytest

from trainer.processes import ProcessFailed, Program

SAYS = """
import json
for text in ("it begins", "the disk is full", "7 transitions wait"):
    print(json.dumps({"event": "message", "text": text}))
raise SystemExit(1)
"""


def test_the_last_messages_tell_why_a_program_ended(tmp_path: Path) -> None:
    (tmp_path / "says.py").write_text(SAYS)
    program = Program("says", [], tmp_path / "says.log", {**os.environ, "PYTHONPATH": str(tmp_path)})
    with pytest.raises(ProcessFailed, match="ended with status 1: the disk is full; 7 transitions wait"):
        list(program.events(60.0))
    program.end()
