"""Models by preset, Hub id or folder: found, identified, loaded. Safetensors alone, never pickles."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, model_validator
from torch import nn

from secura_bench.foundation.errors import DataError, SpecError, unknown_name
from secura_bench.foundation.home import from_home
from secura_bench.foundation.nearest import nearest_path
from secura_bench.foundation.resources import PACKAGE
from secura_bench.foundation.schema import slug
from secura_bench.foundation.wording import in_a_line, sentence_of
from secura_bench.foundation.yaml_file import YamlFile
from secura_bench.hub.cache import Repository
from secura_bench.models.config import CONFIG, code_of_its_own, configuration, read_config
from secura_bench.models.from_hub import Part, bring, bring_weights
from secura_bench.models.layouts import shape_from
from secura_bench.models.shape import Shape
from secura_bench.models.sound import load_sound
from secura_bench.spec.loading import LoadSpec


@dataclass(frozen=True)
class ModelFolder:
    """A model on this machine's disk.

    ``label`` names it in folders and tables. ``identity`` is its Hub id and commit, or a hash over the files of a
    folder: what makes two models the same. ``hub`` is the id where it is of the Hub: its weights may not be here yet.
    ``load`` says how its weights are held.
    """

    label: str
    path: Path
    identity: str
    hub: str | None = None
    load: LoadSpec = field(default_factory=LoadSpec)


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


def find_model(name: str, *, fetch: Part = "all") -> ModelFolder:
    """Return the folder of a preset, of a model folder or of a Hub id, of which ``fetch`` is fetched if need be.

    Raises:
        SpecError: ``name`` is none of them.
        DataError: The Hub cannot be reached, or does not give the model; or ``fetch`` is "nothing" and it is not here.
    """
    path, hub_id = _locate(name, fetch)
    return ModelFolder(model_label(name), path, f"{hub_id}@{path.name}" if hub_id else _folder_identity(path), hub_id)


def fetch_weights(model: ModelFolder) -> None:
    """Fetch a model's weights, where they are not here yet, and check once that they are what the Hub has.

    Raises:
        DataError: The Hub does not give them, or what is here is damaged.
    """
    if model.hub:
        bring_weights(model.hub, model.path.name)


def _locate(name: str, fetch: Part) -> tuple[Path, str | None]:
    """Return the folder that a model lies in, and its id where it came from the Hub."""
    preset = presets().get(name)
    if preset and preset.folder:
        return PACKAGE / "models" / preset.folder, None
    if preset and preset.hub:
        return bring(preset.hub, preset.revision, fetch), preset.hub
    path = from_home(name)
    if (path / "config.json").is_file():
        return path, None
    model_label(name)  # refuses what is no model at all
    return bring(name, None, fetch), name


def model_label(name: str) -> str:
    """Return what names a model in folders and tables; the model itself need not be here.

    Raises:
        SpecError: ``name`` is no preset, no model folder and no Hub id.
    """
    if name in presets():
        return name
    path = from_home(name)
    if (path / "config.json").is_file():
        return slug(path.resolve().name, "model")
    if re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name) and not path.exists():
        return name.split("/")[1].lower()
    if path.is_dir():
        raise SpecError(f"model {name!r} is no folder with a config.json: there is none in it.")
    if path.is_absolute() or path.name != name:
        raise SpecError(
            f"model {name!r} is no folder with a config.json.{nearest_path(path) or ' There is no such path.'}"
        )
    raise SpecError(
        f"model {name!r} is no preset, no folder with a config.json and no Hub id: "
        f"{unknown_name('preset', name, presets())}"
    )


def load_tokenizer(model: ModelFolder) -> Any:
    """Return the model's tokenizer, after a look at its configuration, which decides its kind.

    Raises:
        DataError: There is none, or it is damaged.
    """
    from transformers import AutoTokenizer

    if model.hub and [path.name for path in model.path.iterdir()] == [CONFIG]:
        raise DataError(f"model {model.hub} is not on this machine, but for its configuration.")
    configuration(model.path)
    try:
        return AutoTokenizer.from_pretrained(model.path)
    except Exception as error:  # whatever the libraries below raise: a damaged file is told in many ways
        raise DataError(f"model {model.label!r}: its tokenizer cannot be loaded: {sentence_of(error)}") from None


def load_model(
    model: ModelFolder, dtype: torch.dtype = torch.float32, tell: Callable[[str], None] = lambda note: None
) -> nn.Module:
    """Return the pretrained causal language model in eval mode; ``tell`` gets what a record must say of its files.

    Raises:
        DataError: Its weights cannot be fetched, lack a tensor, have one of another shape, one that is no number or one
            that is not the model's; or the folder is another than it was when it was identified.
    """
    fetch_weights(model)
    refuse_changed(model)
    if own := code_of_its_own(model.path):
        tell(own)
    return load_sound(model.label, model.path, dtype, tell, model.load).eval()


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
    if preset and preset.family and not _is_here(preset):
        return _shapes(AutoConfig.for_model(preset.family, **(preset.shape or {})))
    return _shapes(configuration(_locate(name, fetch="nothing")[0]))


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
    """Return a model's shape, from its config.json where it is here, else its preset; None where it has another layout.

    Raises:
        DataError: It is no preset and not on this machine.
    """
    preset = presets().get(name)
    if preset and preset.family and not _is_here(preset):
        return shape_from(preset.family, preset.shape or {})
    return _shape_in(_locate(name, fetch="nothing")[0])


def learn_shape(name: str) -> bool:
    """Return whether a preset's configuration, which was not here, came from the Hub: it says more than the preset."""
    preset = presets().get(name)
    if preset is None or not preset.hub or _is_here(preset):
        return False
    try:
        find_model(name, fetch="config")
    except DataError:  # whoever needs the model says why
        return False
    return True


def _is_here(preset: Preset) -> bool:
    """Return whether the configuration of a preset of the Hub is on this machine."""
    return (
        bool(preset.hub) and (Repository("model", str(preset.hub)).snapshot(preset.revision or "") / CONFIG).is_file()
    )


@cache
def _shape_in(folder: Path) -> Shape | None:
    config = read_config(folder)
    try:
        return shape_from(config["model_type"], config)
    except KeyError:  # a size is left to transformers' default, which only it knows
        return None


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
