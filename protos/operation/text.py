"""Escaping and truncation of untrusted text.

Text of clients, files and other servers may contain control characters that move the cursor, change colours
or forge log lines. They are written as Python's escapes.
"""

MOST = 2_000
"""Characters of an error message that are passed on."""


def printable(text: str) -> str:
    """Return `text` with all unprintable characters escaped, including line ends."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def printable_lines(text: str) -> str:
    """Return `text` with all unprintable characters escaped, except line ends."""
    return "\n".join(map(printable, text.split("\n")))


def shortened(text: str, most: int = MOST) -> str:
    """Return at most `most` characters of `text`, and the number of omitted ones."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most} more letters)"


def listed(names: list[str], most: int = 10) -> str:
    """Return the last `most` names, separated by commas, and the number of others; "none yet" for none."""
    if not names:
        return "none yet"
    others = f", and {len(names) - most} earlier ones" if len(names) > most else ""
    return ", ".join(names[-most:]) + others
