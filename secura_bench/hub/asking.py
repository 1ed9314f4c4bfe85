"""Requests to the Hub, with patience: what is only busy, slow or interrupted is asked again, and that is said."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from time import sleep
from typing import Any, TypeVar

from secura_bench.foundation.wording import duration, sentence_of
from secura_bench.hub.cache import Repository
from secura_bench.hub.errors import HubAwayError, HubError, HubOfflineError, TransientError
from secura_bench.hub.refusals import Refusal
from secura_bench.hub.voice import say

T = TypeVar("T")

TIMEOUT = 10.0  # seconds to wait for an answer, or for the next bytes of one
TRIES = 5
FIRST_WAIT = 1.0  # seconds, doubled at each try
LONGEST_WAIT = 300.0  # seconds that the Hub may ask for itself

_BUSY = {408, 425, 429, 500, 502, 503, 504, 520, 522, 524}


@dataclass
class _Seen:
    """What this process has seen of the Hub: who answered before comes back, who was away is not waited for again."""

    answered: bool = False
    away: bool = False


_SEEN = _Seen()


def is_offline() -> bool:
    """Return whether the Hub must not be asked (``HF_HUB_OFFLINE``)."""
    from huggingface_hub.constants import is_offline_mode

    return is_offline_mode()


def endpoint() -> str:
    """Return where the Hub is (``HF_ENDPOINT``)."""
    from huggingface_hub import constants

    return constants.ENDPOINT


class Patience:
    """Waits between tries, longer each time, and gives up after ``TRIES``; ``renew`` where there was progress."""

    def __init__(self) -> None:
        self._failed = 0

    def renew(self) -> None:
        """Begin to count anew."""
        self._failed = 0

    def wait(self, error: TransientError) -> None:
        """Wait before another try.

        Raises:
            HubAwayError: There were tries enough, or the Hub asks for longer than ``LONGEST_WAIT``.
        """
        self._failed += 1
        pause = FIRST_WAIT * 2 ** (self._failed - 1) if error.wait is None else error.wait
        if pause > LONGEST_WAIT:
            _SEEN.away = True
            raise HubAwayError(f"{error}, and asks to wait for {duration(pause)}; try again then.") from None
        if self._failed >= (1 if _SEEN.away else TRIES):
            tried = f", {self._failed} times in a row" if self._failed > 1 else ""
            _SEEN.away = True
            raise HubAwayError(f"{error}{tried}.") from None
        say(f"{error}; trying again in {duration(pause)} ({self._failed + 1} of {TRIES})")
        sleep(pause)


def patiently(attempt: Callable[[], T]) -> T:
    """Return what ``attempt`` returns, tried again after each ``TransientError``."""
    patience = Patience()
    while True:
        try:
            return attempt()
        except TransientError as error:
            patience.wait(error)


def get_pages(repository: Repository, path: str, revision: str) -> Iterator[Any]:
    """Yield the JSON answers of the Hub's API under a repository, page after page; each is asked for with patience.

    Raises:
        HubError: The Hub refuses, does not answer, or must not be asked.
    """
    url: str | None = f"{endpoint()}/api/{repository.kind}s/{repository.id}/{path}"
    while url:
        page, url = patiently(lambda url=url: _page(url, Refusal(repository, revision)))  # type: ignore[misc]
        yield page


def _page(url: str, refusal: Refusal) -> tuple[Any, str | None]:
    with opened(url, refusal) as response:
        response.read()
        try:
            return response.json(), response.links.get("next", {}).get("url")
        except ValueError:
            raise TransientError(f"{url} answers with what is not JSON") from None


@contextmanager
def opened(url: str, refusal: Refusal, headers: Mapping[str, str] | None = None) -> Iterator[Any]:
    """Ask for ``url`` as a context that holds the answer, whose body is still to be read.

    Raises:
        TransientError: Another try may help; also while the body is read within the context.
        HubError: The Hub refuses, in the words of ``refusal``, or is away.
    """
    from huggingface_hub import get_session
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    if is_offline():
        raise HubOfflineError("HF_HUB_OFFLINE is set")
    own = build_hf_headers(library_name="secura-bench")
    sent = {**own, "Accept-Encoding": "identity", **(headers or {})}
    try:
        with get_session().stream("GET", url, headers=sent, timeout=TIMEOUT, follow_redirects=True) as response:
            status = response.status_code
            _SEEN.answered = True
            if status in _BUSY:
                named = f"{status} {HTTPStatus(status).phrase}" if status in set(HTTPStatus) else str(status)
                raise TransientError(f"{endpoint()} answers {named}", retry_after(status, response.headers))
            if status >= 400 and status != 416:
                raise HubError(refusal.explain(status, response.headers, token="authorization" in own))
            _SEEN.away = False
            yield response
    except (HubError, TransientError, OSError):
        raise
    except Exception as error:
        raise _explained(error) from None


def _explained(error: Exception) -> Exception:
    """Return what an error of the HTTP library means; whose it is depends on the Hub's library, so names decide."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if not kinds & {"TransportError", "RequestError", "StreamError"}:
        return error
    if kinds & {"ConnectError", "ConnectTimeout", "ProxyError", "UnsupportedProtocol"} and not _SEEN.answered:
        _SEEN.away = True
        return HubAwayError(f"{endpoint()} does not answer: {sentence_of(error)}")
    if "TimeoutException" in kinds:
        return TransientError(f"{endpoint()} does not answer within {TIMEOUT:g} s")
    return TransientError(f"{endpoint()} hung up: {sentence_of(error).rstrip('.')}")


def retry_after(status: int, headers: Mapping[str, str]) -> float | None:
    """Return for how many seconds an answer asks to wait: ``Retry-After``, or the Hub's own ``RateLimit``."""
    said = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d+", said):
        return float(said)
    if said:
        try:
            return max(0.0, (parsedate_to_datetime(said) - datetime.now(timezone.utc)).total_seconds())
        except (ValueError, TypeError):
            return None
    window = re.search(r"\br=0\b.*?\bt=(\d+)", headers.get("RateLimit", ""))
    return float(window[1]) if window and status == 429 else None
