"""A model of the Hub on this machine's disk: first what tells its shape and tokenizer, the weights last."""

from __future__ import annotations

import json
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from secura_bench.foundation.errors import DataError
from secura_bench.hub.cache import Repository
from secura_bench.hub.errors import DamagedError, HubAwayError, HubError
from secura_bench.hub.fetching import fetch
from secura_bench.hub.listing import Entry, Listing, files_of, resolve

Part = Literal["nothing", "config", "tokenizer", "all"]
"""How much of a model is fetched where it is not here: each has what stands before it."""

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_SMALL = ("*.json", "*.jinja", "*.model", "*.txt")  # of the repository's root: below it lie other formats
_TEMPLATES = "additional_chat_templates/*.jinja"
_MODEL = "a folder that holds the model (--set model=FOLDER, of score --base FOLDER)"
_ADAPTER = "a folder that holds the adapter"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


def bring(hub_id: str, revision: str | None, part: Part) -> Path:
    """Return the folder of a model of the Hub, in which ``part`` of it is there and sound.

    Raises:
        DataError: The Hub does not give it, it is not on this machine, or it has no weights that are read here.
    """
    repository = Repository("model", hub_id)
    if part == "nothing":
        commit = repository.remembered(revision or "main")
        folder = repository.snapshot(commit) if commit else None
        if folder is None or not (folder / CONFIG).is_file():
            raise DataError(f"model {hub_id} is not on this machine.")
        return folder
    try:
        commit = resolve(repository, revision)
        listing = files_of(repository, commit)
        small = small_files(listing)
        if listing.whole:  # before anything is fetched
            weights_named(listing)
        folder = fetch(repository, commit, [entry for entry in small if part != "config" or entry.path == CONFIG])
        if part == "all":
            fetch(repository, commit, weight_files(listing, folder))
    except HubError as error:
        raise DataError(f"model {hub_id}: {_said(error)}") from None
    return folder


def bring_weights(hub_id: str, commit: str) -> None:
    """Fetch the weights of a model whose configuration is here, where they are missing, and check them once.

    Raises:
        DataError: The Hub does not give them, or they are damaged.
    """
    repository = Repository("model", hub_id)
    try:
        fetch(repository, commit, weight_files(files_of(repository, commit), repository.snapshot(commit)))
    except HubError as error:
        raise DataError(f"model {hub_id}: {_said(error)}") from None


def bring_adapter(hub_id: str) -> Path | None:
    """Return the folder of a PEFT adapter of the Hub, which is there and sound; None where it is no adapter.

    Raises:
        DataError: The Hub does not give it, or it has no weights that are read here.
    """
    repository = Repository("model", hub_id)
    try:
        commit = resolve(repository, None)
        listing = files_of(repository, commit)
        by_path = {entry.path: entry for entry in listing.entries}
        if ADAPTER_CONFIG not in by_path:
            return None
        if whole := by_path.keys() & {WEIGHTS, INDEX}:
            raise HubError(f"it has an adapter and a whole model ({min(whole)}); give a folder that holds one of them.")
        if ADAPTER_WEIGHTS not in by_path:
            _refuse_pickles(by_path, ADAPTER_WEIGHTS, _ADAPTER)
            raise listing.lacking(f"it has no {ADAPTER_WEIGHTS}: no weights of an adapter.")
        return fetch(repository, commit, [*_beside_weights(listing), by_path[ADAPTER_WEIGHTS]])
    except HubError as error:
        raise DataError(f"adapter {hub_id}: {_said(error, _ADAPTER)}") from None


def small_files(listing: Listing) -> list[Entry]:
    """Return the files that are not weights: configuration, tokenizer, templates.

    Raises:
        HubError: There is no configuration.
    """
    if all(entry.path != CONFIG for entry in listing.entries):
        raise listing.lacking(f"it has no {CONFIG}, so that it is no model for transformers.")
    return _beside_weights(listing)


def _beside_weights(listing: Listing) -> list[Entry]:
    return [
        entry
        for entry in listing.entries
        if ("/" not in entry.path and any(fnmatchcase(entry.path, pattern) for pattern in _SMALL))
        or fnmatchcase(entry.path, _TEMPLATES)
    ]


def _refuse_pickles(paths: Iterable[str], better: str, folder: str) -> None:
    """Refuse weights that are pickles, where no others are there."""
    pickles = [path for path in paths if "/" not in path and any(fnmatchcase(path, kind) for kind in _PICKLES)]
    if pickles:
        raise HubError(
            f"its weights are pickles alone ({pickles[0]}), which can run any code when they are loaded. Take a "
            f"revision with {better}, or convert them and give {folder}."
        )


def weights_named(listing: Listing) -> Entry:
    """Return the file of weights, or the index of several: the one that transformers reads.

    Raises:
        HubError: There is none; pickles, which run code when they are loaded, do not count.
    """
    by_path = {entry.path: entry for entry in listing.entries}
    for name in (WEIGHTS, INDEX):
        if name in by_path:
            return by_path[name]
    _refuse_pickles(by_path, WEIGHTS, _MODEL)
    raise listing.lacking(f"it has neither {WEIGHTS} nor {INDEX}: no weights of a whole model.")


def weight_files(listing: Listing, folder: Path) -> list[Entry]:
    """Return the files of weights; an index must be in ``folder`` already.

    Raises:
        HubError: There are none. DataError: The index names a file that is not there, or cannot be read.
    """
    named = weights_named(listing)
    if named.path == WEIGHTS:
        return [named]
    by_path = {entry.path: entry for entry in listing.entries}
    try:
        shards = sorted({str(name) for name in json.loads((folder / INDEX).read_bytes())["weight_map"].values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{folder / INDEX}: cannot be read as an index of weights: {error}.") from None
    for name in shards:
        if name not in by_path:
            raise listing.lacking(f"its {INDEX} names {name}, which is not there.")
    return [by_path[name] for name in shards]


def _said(error: HubError, folder: str = _MODEL) -> str:
    """Return what came of asking the Hub, with the way out: a ``folder``."""
    if isinstance(error, DamagedError):
        return str(error)
    if isinstance(error, HubAwayError):
        cached = "" if "cache" in str(error) else " It is not in the cache either."
        return f"cannot be fetched: {error}{cached} Without a network, give {folder}."
    return f"cannot be fetched: {error}"
