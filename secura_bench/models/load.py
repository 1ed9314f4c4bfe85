"""Models by preset, Hub id or folder: found, identified, loaded. Safetensors alone, never pickles."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, model_validator
from torch import nn

from secura_bench.errors import DataError, SpecError, unknown_name
from secura_bench.hub import HubUnreachableError, first_line, resolve
from secura_bench.models.config import configuration, read_config
from secura_bench.models.shape import Shape
from secura_bench.models.sound import load_sound
from secura_bench.plugins import in_a_line
from secura_bench.resources import PACKAGE
from secura_bench.schema import slug
from secura_bench.yaml_file import YamlFile

_WANTED = ["*.json", "*.safetensors", "*.jinja", "tokenizer.model", "*.txt"]


@dataclass(frozen=True)
class ModelFolder:
    """A model on this machine's disk.

    ``label`` names it in folders and tables. ``identity`` is its Hub id and commit, or a hash over the files of a
    folder: what makes two models the same.
    """

    label: str
    path: Path
    identity: str


class Preset(BaseModel):
    """A model by a short name.

    ``folder`` is one that the package ships; ``hub`` an id with the ``revision`` that was looked at. ``gated``: its
    licence has to be accepted on the Hub. ``template`` says what its chat template does that others do not. ``family``
    and ``shape`` are transformers' model type and configuration.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: str | None = None
    hub: str | None = None
    revision: str | None = None
    gated: bool = False
    template: str | None = None
    family: str | None = None
    shape: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _can_be_found(self) -> Preset:
        if (self.folder is None) == (self.hub is None):
            raise ValueError("a preset has either a 'folder' or a 'hub' id")
        if self.hub and not (self.revision and self.family and self.shape):
            raise ValueError("a model of the Hub needs 'revision', 'family' and 'shape'")
        return self

    @property
    def access(self) -> str:
        """What has to be done before the Hub gives the model; empty where nothing has."""
        return f"Accept the licence at huggingface.co/{self.hub} and set HF_TOKEN." if self.gated else ""


@cache
def presets() -> dict[str, Preset]:
    """Return the shipped presets by name."""
    file = YamlFile.read(PACKAGE / "models" / "presets.yaml")
    return {name: file.check(Preset, fields, (name,)) for name, fields in file.data.items()}


def find_model(name: str, *, fetch: bool = True) -> ModelFolder:
    """Return the folder of a preset, of a model folder or of a Hub id, which is downloaded if need be.

    Raises:
        SpecError: ``name`` is none of them.
        DataError: The Hub cannot be reached, or does not give the model; or ``fetch`` is off and it is not here.
    """
    path, hub_id = _locate(name, fetch)
    return ModelFolder(model_label(name), path, f"{hub_id}@{path.name}" if hub_id else _folder_identity(path))


def _locate(name: str, fetch: bool) -> tuple[Path, str | None]:
    """Return the folder that a model lies in, and its id where it came from the Hub."""
    preset = presets().get(name)
    if preset and preset.folder:
        return PACKAGE / "models" / preset.folder, None
    if preset and preset.hub:
        return _from_hub(preset.hub, preset.revision, preset.access, fetch), preset.hub
    path = Path(name).expanduser()
    if (path / "config.json").is_file():
        return path, None
    model_label(name)  # refuses what is no model at all
    return _from_hub(name, None, "", fetch), name


def model_label(name: str) -> str:
    """Return what names a model in folders and tables; the model itself need not be here.

    Raises:
        SpecError: ``name`` is no preset, no model folder and no Hub id.
    """
    if name in presets():
        return name
    path = Path(name).expanduser()
    if (path / "config.json").is_file():
        return slug(path.resolve().name, "model")
    if re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name) and not path.exists():
        return name.split("/")[1].lower()
    raise SpecError(
        f"model {name!r} is no preset, no folder with a config.json and no Hub id: "
        f"{unknown_name('preset', name, presets())}"
    )


def load_tokenizer(model: ModelFolder) -> Any:
    """Return the model's tokenizer, after a look at its configuration, which decides its kind."""
    from transformers import AutoTokenizer

    configuration(model.path)
    try:
        return AutoTokenizer.from_pretrained(model.path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"model {model.label!r}: its tokenizer cannot be loaded: {first_line(error)}") from None


def load_model(model: ModelFolder, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Return the pretrained causal language model in eval mode.

    Raises:
        DataError: Its weights lack a tensor, have one of another shape or one that is no number; or the folder is
            another than it was when it was identified.
    """
    refuse_changed(model)
    return load_sound(model.label, model.path, dtype).eval()


def refuse_changed(model: ModelFolder) -> None:
    """Refuse a folder that holds another model than the one that was identified.

    Raises:
        DataError: A file of it was written since.
    """
    if model.identity.startswith("sha256:") and _folder_identity(model.path) != model.identity:
        raise DataError(
            f"model {model.label!r}: {model.path} has changed since this command began; run it again, for the model "
            f"that is there now."
        )


def shapes_of(name: str) -> nn.Module:
    """Return a model on the meta device, every name and shape and no memory: of a preset, without the Hub.

    Raises:
        DataError: ``name`` is no preset, and its configuration is not on this machine.
    """
    from transformers import AutoConfig

    preset = presets().get(name)
    if preset and preset.family:
        return _shapes(AutoConfig.for_model(preset.family, **(preset.shape or {})))
    return _shapes(configuration(_locate(name, fetch=False)[0]))


def shapes_in(model: ModelFolder) -> nn.Module:
    """Return a model of this machine on the meta device, in eval mode: whatever of it needs no weights."""
    return _shapes(configuration(model.path)).eval()


def _shapes(config: Any) -> nn.Module:
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config)
    except Exception as error:  # sizes that do not go together end in whatever the library divides
        raise DataError(f"a model of type {config.model_type!r} cannot be built: {in_a_line(error)}") from None


def shape_of(name: str) -> Shape | None:
    """Return a model's shape, from its preset or its config.json; None where it has another layout.

    Raises:
        DataError: It is no preset and not on this machine.
    """
    preset = presets().get(name)
    if preset and preset.family:
        return Shape.from_config(preset.family, preset.shape or {})
    return _shape_in(_locate(name, fetch=False)[0])


@cache
def _shape_in(folder: Path) -> Shape | None:
    config = read_config(folder)
    try:
        return Shape.from_config(config["model_type"], config)
    except KeyError:  # a size is left to transformers' default, which only it knows
        return None


def _from_hub(hub_id: str, revision: str | None, access: str, fetch: bool) -> Path:
    if not fetch and not _in_hub_cache(hub_id):
        raise DataError(f"model {hub_id} is not on this machine. {access}".strip())
    from huggingface_hub import snapshot_download

    away: str | None = None
    try:
        if fetch:
            try:
                revision = resolve("model", hub_id, revision)
            except HubUnreachableError as error:
                away = first_line(error)  # then the cache may have it
        offline = away is not None or not fetch
        found = snapshot_download(hub_id, revision=revision, allow_patterns=_WANTED, local_files_only=offline)
    except Exception as error:  # whatever the libraries below raise, the way out is the same
        reason = f"{away} It is not in the cache either." if away else first_line(error)
        licence = f" {access}" if access and not away else ""
        raise DataError(
            f"model {hub_id}: cannot be fetched: {reason}{licence} Without a network, give a folder that holds the "
            f"model: --set model=FOLDER."
        ) from None
    return Path(found)


def _in_hub_cache(hub_id: str) -> bool:
    """Return whether the Hub's cache has anything of a model, without an import that takes half a second."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "huggingface"
    cache_folder = os.environ.get("HF_HUB_CACHE") or Path(home) / "hub"
    return (Path(cache_folder).expanduser() / f"models--{hub_id.replace('/', '--')}" / "snapshots").is_dir()


def _folder_identity(path: Path) -> str:
    """Return "sha256:..." over the files that make up the model: configuration, tokenizer, template and weights."""
    suffixes = (".json", ".safetensors", ".jinja", ".model", ".txt")
    files = sorted(file for file in path.iterdir() if file.suffix in suffixes)
    stats = [(file, file.stat()) for file in files]
    return _hash_of(tuple((file, stat.st_size, stat.st_mtime_ns, stat.st_ino) for file, stat in stats))


@cache
def _hash_of(files: tuple[tuple[Path, int, int, int], ...]) -> str:
    """Return the hash of files as they are; sizes, times and places say whether they still are."""
    digest = hashlib.sha256()
    for file, *_ in files:
        digest.update(file.name.encode() + b"\0")
        with file.open("rb") as stream:
            while block := stream.read(1 << 22):
                digest.update(block)
    return f"sha256:{digest.hexdigest()}"
