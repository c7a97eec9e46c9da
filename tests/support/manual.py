"""Code and commands that the manual shows."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def block(page: str, beginning: str) -> str:
    """Return the one Python block of a page that has a line that begins so."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    (found,) = [text for text in blocks if re.search(f"^{re.escape(beginning)}", text, re.MULTILINE)]
    return found


def command(page: str, beginning: str) -> list[str]:
    """Return the words of the one indented command of a page that begins so."""
    text = (ROOT / page).read_text()
    (found,) = re.findall(rf"^ +{re.escape(beginning)}((?:[^\n]*\\\n)*[^\n]*)$", text, re.MULTILINE)
    return found.replace("\\\n", " ").split()
