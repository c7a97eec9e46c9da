"""Paging of lists, so that responses have a bounded size."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import grpc

T = TypeVar("T")
LARGEST_PAGE = 1_000
MOST_WHOLE = 5_000
"""Longest list that is returned to a request without a page size."""


class Paged(Protocol):
    """A request for a page of a list."""

    page_size: int
    page_token: str


async def paged(
    request: Paged,
    context: grpc.aio.ServicerContext,
    fetch: Callable[[str, int], Awaitable[tuple[list[T], str]]],
) -> tuple[list[T], str]:
    """Return a page and the token of the next one. Without a page size, return the whole list if it is short.

    `fetch(token, limit)` returns up to `limit` items after `token` and the token of the next page, which is
    empty at the end. It raises `ValueError` for an invalid token.
    """
    limit = min(request.page_size, LARGEST_PAGE) or MOST_WHOLE
    items, token = list[T](), request.page_token
    while True:
        try:
            more, token = await fetch(token, limit - len(items))
        except ValueError:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "page_token is invalid; start without one")
        items += more
        if request.page_size or not token:
            return items, token
        if len(items) >= MOST_WHOLE:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"there are more than {MOST_WHOLE} to list, too many for one answer: ask with page_size",
            )


def part(items: Sequence[T], token: str, limit: int) -> tuple[list[T], str]:
    """Return a page of a list in memory; `token` is an index.

    Raises:
        ValueError: the token is invalid.
    """
    begin = int(token or "0")
    if begin < 0:
        raise ValueError(f"not an index of a list: {token}")
    end = begin + limit
    return list(items[begin:end]), str(end) if end < len(items) else ""
