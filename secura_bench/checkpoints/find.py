"""A checkpoint that others trained, by folder or Hub id: a PEFT adapter or a whole model."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secura_bench.foundation.errors import DataError, SpecError
from secura_bench.foundation.home import from_home
from secura_bench.foundation.nearest import nearest_path
from secura_bench.models.config import CONFIG, configuration
from secura_bench.models.from_hub import ADAPTER_CONFIG, ADAPTER_WEIGHTS, INDEX, WEIGHTS, bring_adapter
from secura_bench.models.load import ModelFolder, find_model, presets

_PICKLES = ("adapter_model.bin", "pytorch_model.bin", "pytorch_model.bin.index.json")
_AS_SAFETENSORS = "Save it as safetensors (`save_pretrained` does, unless safe_serialization is false)"


@dataclass(frozen=True)
class Checkpoint:
    """What others trained, on this machine's disk.

    ``folder`` is where it lies. ``folder.identity`` is the hash of its files, or a whole model's Hub id and commit.
    ``adapter`` is the content of its ``adapter_config.json``, None for a whole model.
    """

    folder: ModelFolder
    adapter: Mapping[str, Any] | None = None

    @property
    def label(self) -> str:
        """What messages call it: the Hub id, or the name of its folder."""
        return self.folder.hub or self.folder.label

    @property
    def digest(self) -> str:
        """Ten hex digits of its identity: what tables tell two checkpoints of one label apart by."""
        return hashlib.sha256(self.folder.identity.encode()).hexdigest()[:10]

    @property
    def base(self) -> str | None:
        """The base model that an adapter's configuration names, None where it names none."""
        named = (self.adapter or {}).get("base_model_name_or_path")
        return named if isinstance(named, str) and named else None


def find_checkpoint(name: str) -> Checkpoint:
    """Return the checkpoint that ``name`` means: a folder, a preset or a Hub id.

    An adapter of the Hub is fetched whole, of a model what is small.

    Raises:
        DataError: There is none, it is a pickle, needs code of its own, or is both an adapter and a whole model.
    """
    path = from_home(name)
    if path.is_dir():
        return _in_folder(path, path.resolve().name)
    if name in presets():
        return Checkpoint(find_model(name, fetch="tokenizer"))
    if path.exists():
        raise DataError(f"{path}: is a file; name the folder that the model or adapter was saved to.")
    if not is_hub_id(name):
        raise DataError(f"{name}: no such folder, and no Hub id.{nearest_path(path)}")
    try:
        folder = bring_adapter(name)
    except DataError as error:
        raise DataError(f"{error} There is no folder of that name either.{nearest_path(path)}") from None
    return Checkpoint(find_model(name, fetch="tokenizer")) if folder is None else _in_folder(folder, name, name)


def is_hub_id(name: str) -> bool:
    """Return whether ``name`` can be the id of a repository of the Hub."""
    return re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name) is not None


def adapter_identity(path: Path) -> str:
    """Return "sha256:..." over an adapter's configuration and weights: what decides what it computes."""
    digest = hashlib.sha256()
    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        content = (path / name).read_bytes()
        digest.update(name.encode() + b"\0" + len(content).to_bytes(8, "little") + content)
    return f"sha256:{digest.hexdigest()}"


def _in_folder(path: Path, label: str, hub: str | None = None) -> Checkpoint:
    if not check_folder(path):
        return Checkpoint(find_model(str(path)))
    return Checkpoint(ModelFolder(label, path, adapter_identity(path), hub), _read_adapter_config(path))


def check_checkpoint(name: str) -> None:
    """Refuse a name that is no folder with a checkpoint, no preset, and can be no Hub id; no weights are read.

    Raises:
        SpecError: It is none, or a folder that cannot be used.
    """
    path = from_home(name)
    if path.is_dir():
        try:
            check_folder(path)
        except DataError as error:
            raise SpecError(str(error)) from None
    elif name not in presets() and (path.exists() or not is_hub_id(name)):
        raise SpecError(f"{name}: no such folder, and no Hub id.{nearest_path(path)}")


def check_folder(path: Path) -> bool:
    """Return whether a folder holds an adapter, or else a whole model.

    Raises:
        DataError: It holds neither, both, pickles, or a model that needs code of its own.
    """
    names = {each.name for each in path.iterdir()}
    whole = names & {WEIGHTS, INDEX}
    if ADAPTER_CONFIG in names and whole:
        raise DataError(
            f"{path}: holds an adapter ({ADAPTER_CONFIG}) and a whole model ({min(whole)}); name a folder that holds "
            f"one of them."
        )
    pickles = [name for name in _PICKLES if name in names]
    weights = ADAPTER_WEIGHTS if ADAPTER_CONFIG in names else WEIGHTS
    if pickles and weights not in names and not whole:
        raise DataError(
            f"{path}: its weights are a pickle ({pickles[0]}), which can run any code when it is loaded. "
            f"{_AS_SAFETENSORS}: {weights}."
        )
    if ADAPTER_CONFIG in names:
        if ADAPTER_WEIGHTS not in names:
            raise DataError(f"{path}: has {ADAPTER_CONFIG} and no {ADAPTER_WEIGHTS}; save the adapter whole.")
        return True
    if CONFIG in names:
        configuration(path)  # refuses what is no causal language model, or needs code of its own
        if not whole:
            raise DataError(f"{path}: has {CONFIG} and neither {WEIGHTS} nor {INDEX}; save the model whole.")
        return False
    raise DataError(f"{path}: holds neither {ADAPTER_CONFIG} nor {CONFIG}.{_below(path)}")


def _below(path: Path) -> str:
    """Return what lies one folder below that could have been meant; a trainer puts its checkpoints there."""
    found = [folder for folder in sorted(path.iterdir()) if folder.is_dir() and _is_checkpoint(folder)]
    if not found:
        return " Name the folder that the model or adapter was saved to."
    newest = max(found, key=lambda folder: (folder.stat().st_mtime, folder.name))
    return f" Did you mean {str(newest)!r}?"


def _is_checkpoint(folder: Path) -> bool:
    return (folder / ADAPTER_CONFIG).is_file() or (folder / CONFIG).is_file()


def _read_adapter_config(path: Path) -> Mapping[str, Any]:
    file = path / ADAPTER_CONFIG
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file}: cannot be read as JSON: {error}.") from None
    if not isinstance(config, dict) or not isinstance(config.get("peft_type"), str):
        raise DataError(f"{file}: names no peft_type; it is no configuration of a PEFT adapter.")
    return config
