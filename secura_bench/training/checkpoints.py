"""Checkpoints: everything that a run needs to go on as if it had never stopped. Safetensors and JSON, never pickles.

A checkpoint is a folder ``<n>/`` with ``state.json`` (positions, scores, generators: whatever is no tensor) and a
``<part>.safetensors`` for each part of the state that holds tensors. It is written beside and renamed when it is
whole, and only then does the one before it go. ``state.json`` has the SHA-256 of every file, itself included, so that
half a file or a single flipped bit is found.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from secura_bench.foundation.errors import BenchError
from secura_bench.foundation.files import save_tensors, sync
from secura_bench.models.sharded import like

SCHEMA = 1
STATE = "state.json"
_WRITING = ".writing"
_SUBCLASSES = {"OptimState8bit": "torchao.optim.subclass_8bit"}
"""Tensor subclasses that a state may hold, and their modules: nothing else that a file names is ever imported."""
_PLAIN = frozenset((bool, int, float, str, type(None)))
_DTYPES = {str(kind).removeprefix("torch."): kind for kind in vars(torch).values() if isinstance(kind, torch.dtype)}


class CheckpointError(BenchError):
    """A checkpoint that is damaged, or a state that cannot be written as one."""


def save_checkpoint(root: Path, parts: Mapping[str, Any]) -> Path:
    """Write ``parts`` (nested containers of tensors and plain values) as the latest checkpoint; return its folder.

    Raises:
        CheckpointError: A part holds something that is neither a tensor nor plain.
        OSError: The disk refuses; the checkpoint before this one is as it was.
    """
    number = max(_numbers(root), default=0) + 1
    writing, folder = root / _WRITING, root / f"{number:06d}"
    shutil.rmtree(writing, ignore_errors=True)
    writing.mkdir(parents=True)
    try:
        plain, digests = {}, {}
        for part, value in parts.items():
            tensors: dict[str, Tensor] = {}
            plain[part] = _pack(value, tensors, part)
            if tensors:
                file = writing / f"{part}.safetensors"
                save_tensors(_apart(tensors), file)
                digests[file.name] = _digest(file)
        body = json.dumps({"schema": SCHEMA, "files": digests, "state": plain})  # in order: a state may depend on it
        with (writing / STATE).open("w", encoding="utf-8") as stream:
            stream.write(f'{{"sha256": "{_digest_of(body)}", {body[1:]}')
            stream.flush()
            os.fsync(stream.fileno())
        writing.rename(folder)
    except BaseException:
        shutil.rmtree(writing, ignore_errors=True)
        raise
    sync(root)
    for old in _numbers(root):
        if old < number:
            shutil.rmtree(root / f"{old:06d}")
    return folder


def latest_checkpoint(
    root: Path, refuse: Callable[[Mapping[str, Any]], str | None] = lambda state: None
) -> tuple[Path | None, list[str]]:
    """Return the folder of the latest whole checkpoint below ``root``, and a sentence for each damaged one.

    ``refuse`` says what else is wrong with a state, of which it sees what is no tensor; None if nothing is.
    """
    problems: list[str] = []
    for number in sorted(_numbers(root), reverse=True):
        folder = root / f"{number:06d}"
        try:
            body = _read_body(folder)
            for name, digest in body["files"].items():
                if _digest(folder / name) != digest:
                    raise CheckpointError(f"{folder / name}: is damaged: its SHA-256 is another.")
            if problem := refuse(body["state"]):
                raise CheckpointError(problem)
        except OSError as error:
            problems.append(f"{error.filename}: is damaged: {error.strerror}.")
        except CheckpointError as error:
            problems.append(str(error))
        else:
            return folder, problems
    return None, problems


def read_checkpoint(folder: Path, *, copied: bool = True) -> dict[str, Any]:
    """Return the state in a checkpoint that ``latest_checkpoint`` found whole, by part. Tensors are on the CPU.

    Unless they are to be ``copied``, they are the files' own pages, for whoever takes a part of them.
    """
    from safetensors.torch import load_file

    body = _read_body(folder)
    tensors = {name.removesuffix(".safetensors"): load_file(folder / name) for name in body["files"]}
    if copied:  # to memory of their own, aligned as any new tensor's
        tensors = {part: {name: tensor.clone() for name, tensor in own.items()} for part, own in tensors.items()}
    return {part: _unpack(value, tensors.get(part, {})) for part, value in body["state"].items()}


def _read_body(folder: Path) -> dict[str, Any]:
    try:
        body = json.loads((folder / STATE).read_text(encoding="utf-8"))
        whole = body.pop("sha256") == _digest_of(json.dumps(body))
    except (ValueError, KeyError, AttributeError, TypeError):
        whole = False
    if not whole:
        raise CheckpointError(f"{folder / STATE}: is damaged: its SHA-256 is another.")
    if body["schema"] != SCHEMA:
        raise CheckpointError(f"{folder}: has schema {body['schema']!r}; this version goes on from {SCHEMA}.")
    return body


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return what the optimizer holds for each parameter, in the order of its groups, and its groups' settings."""
    settings = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    return {"tensors": [dict(optimizer.state.get(p, {})) for p in _parameters(optimizer)], "groups": settings}


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Put back what ``optimizer_state`` returned, in the dtypes in which it was held.

    ``Optimizer.load_state_dict`` would cast moments to their parameter's dtype.
    """
    optimizer.state.clear()
    for parameter, held in zip(_parameters(optimizer), state["tensors"], strict=True):
        if held:
            optimizer.state[parameter] = {name: to_device_of(parameter, value) for name, value in held.items()}
    for group, settings in zip(optimizer.param_groups, state["groups"], strict=True):
        for name, value in settings.items():
            if isinstance(group.get(name), Tensor) and isinstance(value, Tensor):
                group[name].copy_(value)  # torchao's rate: what it compiled reads this very tensor
            else:
                group[name] = value


def to_device_of(parameter: Tensor, value: Any) -> Any:
    """Return a tensor of the state where its parameter is, divided as that; numbers, AdamW's step, stay on the CPU."""
    return like(parameter, value).to(parameter.device) if isinstance(value, Tensor) and value.dim() > 0 else value


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _pack(value: Any, tensors: dict[str, Tensor], path: str) -> Any:
    """Return ``value`` as JSON, its tensors moved to ``tensors`` under the path that stands in their place."""
    if isinstance(value, Tensor):
        if type(value) not in (Tensor, torch.nn.Parameter):
            return _pack_subclass(value, tensors, path)
        tensors[path] = value.detach().cpu().contiguous()
        return {"$tensor": path}
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {key: _pack(item, tensors, f"{path}/{key}") for key, item in value.items()}
        return {"$items": [[_pack(k, tensors, path), _pack(v, tensors, f"{path}/{k}")] for k, v in value.items()]}
    if isinstance(value, (tuple, list)) and _PLAIN.issuperset(map(type, value)):  # generators have hundreds of numbers
        return {"$tuple": list(value)} if isinstance(value, tuple) else list(value)
    if isinstance(value, tuple):
        return {"$tuple": [_pack(item, tensors, f"{path}/{i}") for i, item in enumerate(value)]}
    if isinstance(value, list):
        return [_pack(item, tensors, f"{path}/{i}") for i, item in enumerate(value)]
    if isinstance(value, torch.dtype):
        return {"$dtype": str(value).removeprefix("torch.")}
    if type(value) in _PLAIN:
        return value
    raise CheckpointError(f"{path}: a {type(value).__name__} cannot be written to a checkpoint; use plain containers.")


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors, those that share memory with another copied: safetensors refuses them."""
    apart, seen = {}, set()
    for name, tensor in tensors.items():
        memory = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if memory in seen else tensor
        seen.add(memory)
    return apart


def _pack_subclass(value: Tensor, tensors: dict[str, Tensor], path: str) -> Any:
    """Return a tensor of a known subclass as the plain tensors that it is made of, and its attributes."""
    name = type(value).__name__
    if type(value).__module__ != _SUBCLASSES.get(name):
        raise CheckpointError(f"{path}: a {name} cannot be written to a checkpoint.")
    inner, attributes = value.__tensor_flatten__()  # type: ignore[attr-defined]
    parts = {key: getattr(value, key) for key in inner}
    return {"$subclass": name, **_pack({"tensors": parts, "attributes": attributes}, tensors, path)}


def _unpack_subclass(value: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Tensor:
    name = value["$subclass"]
    if name not in _SUBCLASSES:
        raise CheckpointError(f"a checkpoint names the kind of tensor {name!r}, which this version does not know.")
    try:
        kind = getattr(import_module(_SUBCLASSES[name]), name)
    except ImportError as error:
        raise CheckpointError(f"a checkpoint of adamw_8bit needs torchao ({error}).") from None
    return kind.__tensor_unflatten__(
        _unpack(value["tensors"], tensors), _unpack(value["attributes"], tensors), None, None
    )


def _unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "$tensor" in value:
        return tensors[value["$tensor"]]
    if "$subclass" in value:
        return _unpack_subclass(value, tensors)
    if "$dtype" in value:
        return _DTYPES[value["$dtype"]]
    if "$items" in value:
        return {_unpack(key, tensors): _unpack(item, tensors) for key, item in value["$items"]}
    if "$tuple" in value:
        return tuple(_unpack(item, tensors) for item in value["$tuple"])
    return {key: _unpack(item, tensors) for key, item in value.items()}


def _numbers(root: Path) -> list[int]:
    return [int(path.name) for path in root.glob("[0-9]*") if path.name.isdigit()] if root.is_dir() else []


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def _digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
