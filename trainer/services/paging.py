"""Lists a page at a time: no answer grows with what a year has left."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import grpc

T = TypeVar("T")
LARGEST_PAGE = 1_000
MOST_WHOLE = 5_000
"""The longest list that is answered whole, to who asks for no pages."""


class Paged(Protocol):
    """A request for a list."""

    page_size: int
    page_token: str


async def paged(
    request: Paged,
    context: grpc.aio.ServicerContext,
    fetch: Callable[[str, int], Awaitable[tuple[list[T], str]]],
) -> tuple[list[T], str]:
    """Return a page and the token of the next one; without a page size the whole list, if it is not too long.

    `fetch(token, limit)` returns up to `limit` items behind `token` and the token of what follows, which is
    empty at the end; it raises `ValueError` for a token that is none.
    """
    limit = min(request.page_size, LARGEST_PAGE) or MOST_WHOLE
    items, token = list[T](), request.page_token
    while True:
        try:
            more, token = await fetch(token, limit - len(items))
        except ValueError:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, "page_token is none that an answer gave; begin without one"
            )
        items += more
        if request.page_size or not token:
            return items, token
        if len(items) >= MOST_WHOLE:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"there are more than {MOST_WHOLE} to list, too many for one answer: ask with page_size",
            )


def part(items: Sequence[T], token: str, limit: int) -> tuple[list[T], str]:
    """Return what of a list in memory is behind `token`, which is a place in it.

    Raises:
        ValueError: the token is none.
    """
    begin = int(token or "0")
    if begin < 0:
        raise ValueError(f"no place in a list: {token}")
    end = begin + limit
    return list(items[begin:end]), str(end) if end < len(items) else ""
