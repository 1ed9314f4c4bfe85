"""The columns of the matrix: methods, PEFT tuners and targets, said in the names that each architecture has."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from zoo import shapes

_PROJECTIONS = (
    ("q_proj", "v_proj"), ("qkv_proj",), ("query_key_value",), ("Wqkv",), ("c_attn",), ("key", "value"), ("in_proj",),
)  # fmt: skip
TOKENS = (14, 28, 294)  # of every prompt of the tasks that cells train


@dataclass(frozen=True)
class Names:
    """What an architecture calls the modules that columns name: projections, head and embedding."""

    projections: tuple[str, ...]
    head: str
    embedding: str

    @classmethod
    def of(cls, architecture: str) -> Names:
        """Look at a model of shapes."""
        model: Any = shapes(architecture)
        paths = {id(module): path for path, module in model.named_modules()}
        last = {path.rpartition(".")[2] for path in paths.values()}
        found = next(names for names in _PROJECTIONS if last.issuperset(names))
        head, embedding = (
            paths[id(part)].rpartition(".")[2] for part in (model.get_output_embeddings(), model.get_input_embeddings())
        )
        return cls(found, head, embedding)


Column = Callable[[Names], Mapping[str, Any]]


def _ours(name: str, **options: Any) -> Column:
    return lambda names: {"name": name, "target_modules": list(names.projections), **options}


def _peft(kind: str, config: Mapping[str, Any] | Callable[[Names], Mapping[str, Any]], on: bool = True) -> Column:
    def entry(names: Names) -> Mapping[str, Any]:
        said = dict(config(names) if callable(config) else config)
        if on and "target_modules" not in said:
            said["target_modules"] = list(names.projections)
        return {"name": "peft", "peft_type": kind, "config": said}

    return entry


def _regex(names: Names) -> Mapping[str, Any]:
    return {"r": 2, "target_modules": rf".*\.1\..*({'|'.join(map(re.escape, names.projections))})"}


COLUMNS: Mapping[str, Column] = {
    "seq": lambda names: {"name": "seq"},
    "lora": _ours("lora", r=2),
    "lora, pissa": _ours("lora", r=2, init_lora_weights="pissa"),
    "dora": _ours("dora", r=2),
    "cur_lora": _ours("cur_lora", r=4),
    "cabr_lora": _ours("cabr_lora", r=4, m=6),
    "secura": _ours("secura", r=4, m=6),
    "secura, every third step": _ours("secura", r=4, m=6, fusion_step=3),
    "i_lora": _ours("i_lora", r=2),
    "lora on the head": lambda names: {"name": "lora", "r": 2, "target_modules": [names.head]},
    "lora on the head, goes on": lambda names: {
        "name": "lora",
        "r": 2,
        "target_modules": [names.head],
        "boundary": "continue",
    },
    "secura on the head": lambda names: {"name": "secura", "r": 4, "m": 6, "target_modules": [names.head]},
    "stack of lora": lambda names: {"stack": [dict(_ours("lora", r=2)(names)), {"name": "er", "capacity": 4}]},
    "stack of peft": lambda names: {
        "stack": [
            dict(_peft("lora", {"r": 2, "modules_to_save": [names.head]})(names)),
            {"name": "er", "capacity": 4},
        ]
    },
    "peft lora": _peft("lora", {"r": 2}),
    "peft lora, all-linear": _peft("lora", {"r": 2, "target_modules": "all-linear"}),
    "peft lora, head": _peft("lora", lambda names: {"r": 2, "target_modules": [names.head]}),
    "peft lora, embedding": _peft("lora", lambda names: {"r": 2, "target_modules": [names.embedding]}),
    "peft lora, regex": _peft("lora", _regex),
    "peft lora, layer 1": _peft("lora", {"r": 2, "layers_to_transform": [1]}),
    "peft lora, not the last": _peft(
        "lora", lambda names: {"r": 2, "target_modules": "all-linear", "exclude_modules": [names.projections[-1]]}
    ),
    "peft lora, rank pattern": _peft("lora", lambda names: {"r": 2, "rank_pattern": {names.projections[0]: 3}}),
    "peft lora, saves the head": _peft("lora", lambda names: {"r": 2, "modules_to_save": [names.head]}),
    "peft lora, saves the embedding": _peft("lora", lambda names: {"r": 2, "modules_to_save": [names.embedding]}),
    "peft lora, tokens": _peft(
        "lora", lambda names: {"r": 2, "trainable_token_indices": {names.embedding: list(TOKENS)}}
    ),
    "peft lora, layers twice": _peft("lora", {"r": 2, "layer_replication": [[0, 2], [1, 2]]}),
    "peft lora, olora": _peft("lora", {"r": 2, "init_lora_weights": "olora"}),
    "peft lora, mica": _peft("lora", {"r": 2, "init_lora_weights": "mica"}),
    "peft lora, eva": _peft("lora", {"r": 2, "init_lora_weights": "eva"}),
    "peft adalora": _peft(
        "adalora", {"init_r": 3, "target_r": 2, "tinit": 1, "tfinal": 1, "total_step": 4, "lora_alpha": 64}
    ),
    "peft vera": _peft("vera", {"r": 4}),
    "peft vblora": _peft("vblora", {"r": 2, "vector_length": 4, "num_vectors": 8, "topk": 2}),
    "peft lily": _peft("lily", {"r": 2}),
    "peft randlora": _peft("randlora", {"r": 4}),
    "peft shira": _peft("shira", {"r": 2}),
    "peft oft": _peft("oft", {"oft_block_size": 4, "r": 0}),
    "peft ia3": _peft("ia3", {"feedforward_modules": []}),
    "peft ln_tuning": _peft("ln_tuning", {}, on=False),
    "peft trainable_tokens": _peft(
        "trainable_tokens", lambda names: {"token_indices": list(TOKENS), "target_modules": [names.embedding]}
    ),
    "peft adaption_prompt": _peft("adaption_prompt", {"adapter_len": 4, "adapter_layers": 1}, on=False),
}
