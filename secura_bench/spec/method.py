"""One entry of a spec's methods: what is run, what its runs are told apart by, and what tables call it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from secura_bench.foundation.harmless import plain
from secura_bench.foundation.schema import Explained, Slug
from secura_bench.spec.tune import Grid, Tuned


def _on_one_line(title: str) -> str:
    if plain(title) != title:
        raise ValueError("must be plain text on one line, without control characters")
    return title


Title = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60), AfterValidator(_on_one_line)
]
"""A name to be read, of any letters."""


class MethodSpec(Explained):
    """A method by its registered name, its own options, and what it overrides of ``train``."""

    name: str
    """The registered name of the method."""

    label: Slug
    """What tells its runs and folders apart. Unset: the name and the options that are said."""

    title: Title | None = None
    """What tables and pictures call it. Unset: its label."""

    options: dict[str, Any] = Field(default_factory=dict)
    """The method's options: in a spec they stand beside ``name``."""

    train: dict[str, Any] = Field(default_factory=dict)
    """What is otherwise in this method's ``train`` than in the spec's."""

    grid: Grid | None = None
    """What stands for this method in the place of ``tune.grid``: as many settings, other values."""

    tuned: Tuned | None = None
    """How its settings were chosen: written by ``tune``, into the spec of a run."""

    @property
    def is_base(self) -> bool:
        """Whether it is the untouched model, which is scored once for all that is held against it.

        Whether a method trains is another matter, and ``Method.trains`` says it: one of someone else's may not.
        """
        return self.name == "base"

    @property
    def is_checkpoint(self) -> bool:
        """Whether it loads what others trained, and draws nothing."""
        return self.name == "checkpoint"

    @property
    def named(self) -> dict[str, str]:
        """What it is called: as registered, its label, and its title if it has one."""
        found = {"name": self.name, "label": self.label}
        return found if self.title is None else {**found, "title": self.title}

    @model_validator(mode="before")
    @classmethod
    def _from_entry(cls, entry: Any) -> Any:
        """Read ``lora`` or ``{name: lora, r: 8, train: {lr: 1e-4}}``: keys that are not ours are the method's."""
        if isinstance(entry, str):
            entry = {"name": entry}
        if isinstance(entry, dict) and "stack" in entry and "name" not in entry:
            parts = entry["stack"] if isinstance(entry["stack"], list) else []
            names = [str(part.get("name", "") if isinstance(part, dict) else part) for part in parts]
            label = entry.get("label") or "-".join(names) or "stack"
            rest = {key: value for key, value in entry.items() if key not in ("stack", "label")}
            entry = {"name": "stack", "label": label, "parts": entry["stack"], **rest}
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise ValueError("a method is a name, or a mapping with 'name' and its options, or with 'stack'")
        if "options" in entry:
            return entry  # a resolved spec read again
        options = {key: value for key, value in entry.items() if key not in cls.model_fields}
        label = entry.get("label") or _label(entry["name"], options)
        if label == "base" and entry["name"] != "base":
            raise ValueError("the label 'base' is the base model's; give this method another")
        if entry["name"] == "base" and "title" in entry:
            raise ValueError("the base model is called base in every table; leave its title out")
        return {
            "name": entry["name"],
            "label": label,
            "title": entry.get("title"),
            "options": options,
            "train": entry.get("train") or {},
            "grid": entry.get("grid"),
            "tuned": entry.get("tuned"),
        }


def _label(name: str, options: Mapping[str, Any]) -> str:
    """Return a short name that tells a method's options apart, fit for a folder: ``secura-fusion_step-20``."""
    parts = [name]
    for key, value in sorted(options.items()):
        text = str(value).lower()
        parts.append(f"{key}-{text}" if all(c.isalnum() or c in "._-" for c in text) else key)
    return "-".join(parts).replace("--", "-")[:80]
