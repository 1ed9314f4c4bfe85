"""What the typed values of specs, task files and records share."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

SLUG = r"^[a-z0-9][a-z0-9._-]*$"
SLUG_WORDS = "small letters, digits, '.', '_' and '-', and begin with a letter or digit"
Slug = Annotated[str, StringConstraints(pattern=SLUG, max_length=80)]
"""A name that becomes a folder: nothing in it can leave the results folder."""


class Part(BaseModel):
    """A frozen value that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Explained(Part):
    """A part of what people write: the text under each key is what they are told of it."""

    model_config = ConfigDict(use_attribute_docstrings=True)


def slug(text: str, otherwise: str) -> str:
    """Return ``text`` as a ``Slug``: lower case, anything else a hyphen; ``otherwise`` where nothing is left."""
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")[:80] or otherwise
