"""What may come of asking the Hub, each with its cause and the way out, for a caller to say of what."""

from __future__ import annotations

from secura_bench.foundation.errors import DataError


class HubError(DataError):
    """The Hub does not give what was asked for; the text is cause and way out, without the repository's name."""


class HubAwayError(HubError):
    """The Hub does not answer, or only that it cannot."""


class HubOfflineError(HubAwayError):
    """The Hub must not be asked: ``HF_HUB_OFFLINE`` is set."""


class DamagedError(HubError):
    """A file of the cache is not what its name there says."""


class TransientError(Exception):
    """An answer that another try may better; ``wait`` is after how many seconds, where the Hub says so."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait
