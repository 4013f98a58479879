"""Pages of a listing whose tokens stay right while voices come and go.

A token holds the last voice that was shown, so the next page begins after it, wherever that now is.
"""

from __future__ import annotations

import base64
import bisect
import json
from collections.abc import Sequence

from voice_library.errors import InvalidRequest
from voice_library.library import MAX_PAGE_SIZE

NamedId = tuple[str, str]  # (name, voice_id): the order of listings


def page_of(matches: Sequence[NamedId], page_size: int, page_token: str | None) -> tuple[list[NamedId], str | None]:
    """The voices of one page, and the token of the next; `matches` must be sorted. Raises InvalidRequest."""
    if not isinstance(page_size, int) or isinstance(page_size, bool) or not 1 <= page_size <= MAX_PAGE_SIZE:
        raise InvalidRequest(f"page_size is {page_size!r}; allowed are 1 to {MAX_PAGE_SIZE}; choose one in that range")
    start = bisect.bisect_right(matches, _last_shown(page_token)) if page_token is not None else 0
    page = list(matches[start : start + page_size])
    return page, _token(page[-1]) if start + page_size < len(matches) else None


def _token(last_shown: NamedId) -> str:
    return base64.urlsafe_b64encode(json.dumps(last_shown).encode()).decode()


def _last_shown(page_token: str) -> NamedId:
    try:
        name, voice_id = json.loads(base64.b64decode(page_token, altchars=b"-_", validate=True))
    except (ValueError, TypeError, RecursionError) as error:
        raise _not_a_token() from error
    if not isinstance(name, str) or not isinstance(voice_id, str):
        raise _not_a_token()
    return name, voice_id


def _not_a_token() -> InvalidRequest:
    return InvalidRequest(
        "page_token is not one of ours; allowed is the next_page_token of an earlier page; leave it out to start anew"
    )
