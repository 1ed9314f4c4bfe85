"""Whether the Hub has a space: what metrics of the ``evaluate`` package are kept in."""

from __future__ import annotations

import os


def has_space(*ids: str) -> bool | None:
    """Return whether the Hub has one of these spaces, None where it cannot be asked; nothing is fetched."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return None
    from huggingface_hub import HfApi

    try:
        return any(HfApi().repo_exists(each, repo_type="space") for each in ids)
    except Exception:  # no network, a proxy's page, a limit on questions: of any kind
        return None
