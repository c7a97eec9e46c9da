"""Text from elsewhere, fit for a terminal and a log.

What a client, a file or another server says may hold escapes that move the cursor, recolour the screen or
forge a line. They are shown as the escapes that Python would write.
"""

MOST = 2_000
"""Letters of an error that are passed on."""


def printable(text: str) -> str:
    """Return `text` with whatever is no letter, sign or blank written as an escape, line ends among it."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def printable_lines(text: str) -> str:
    """Return `text` with its lines as they are, and all else as `printable` has it."""
    return "\n".join(map(printable, text.split("\n")))


def shortened(text: str, most: int = MOST) -> str:
    """Return at most `most` letters of `text`, and how many were left out."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most} more letters)"


def listed(names: list[str], most: int = 10) -> str:
    """Return the last `most` of `names` in a row, and how many others there are; "none yet" of none."""
    if not names:
        return "none yet"
    others = f", and {len(names) - most} earlier ones" if len(names) > most else ""
    return ", ".join(names[-most:]) + others
