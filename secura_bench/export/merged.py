"""A trained model as one without an adapter: what was merged, and whatever two modules share told apart."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from secura_bench.adapters.conv1d import linear_weight
from secura_bench.adapters.peft_layers import tuner_layers
from secura_bench.foundation.errors import BenchError
from secura_bench.foundation.wording import in_a_line
from secura_bench.methods.method import Method
from secura_bench.models.load import ModelFolder, load_model
from secura_bench.models.tensors import places_of, sharing


def merged_model(base: ModelFolder, method: Method, model: nn.Module, dtype: torch.dtype) -> Any:
    """Return the trained result as a plain model in fp32; ``model`` may be used up.

    Raises:
        BenchError: The method's result is no weights of the base model.
    """
    if hasattr(model, "peft_config"):  # any tuner, with all that it trains beside its matrices
        return _merged_by_peft(model)
    plain: Any = load_model(base, dtype).float()
    own = dict(plain.named_parameters())
    with torch.no_grad():
        if all(name in own for name, _ in model.named_parameters()):  # full fine-tuning: the same names
            plain.load_state_dict(model.state_dict())
            return plain
        for path, weight in method.weights(model):
            path = path.removeprefix("base_model.model.")
            _give_its_own(plain, plain.get_submodule(path))
            linear_weight(plain.get_submodule(path)).copy_(weight)
    settle_tie(plain)
    return plain


def _merged_by_peft(model: Any) -> Any:
    shared = sharing(model)
    for path, layer in tuner_layers(model):
        base = layer.get_base_layer()
        if any(name.startswith(f"{path}.") for name in shared):
            _give_its_own(model, base)
    unload = getattr(model, "merge_and_unload", None)
    try:
        if unload is None:
            raise NotImplementedError("it has no merge")
        plain = unload()
    except Exception as error:  # each tuner says in its own way that it cannot
        raise BenchError(
            f"PEFT cannot merge this adapter into the weights: {in_a_line(error).rstrip('.')}. `--to peft` writes the "
            f"adapter."
        ) from None
    settle_tie(plain)
    return plain


def _give_its_own(model: nn.Module, module: nn.Module) -> None:
    """Give ``module`` a copy of each parameter that another module of ``model`` holds too."""
    for name, parameter in list(module._parameters.items()):
        if parameter is not None and sum(1 for _ in places_of(model, parameter)) > 1:
            setattr(module, name, nn.Parameter(parameter.detach().clone(), requires_grad=parameter.requires_grad))


def settle_tie(plain: Any) -> None:
    """Let a model hold apart what loading would not make one again, and its configuration say so of its head.

    Head and embedding that are two must be called so, else loading ties them; layers that are one, which an adapter
    replicated, are written as many.
    """
    head, embedding = plain.get_output_embeddings(), plain.get_input_embeddings()
    tied = head is not None and head.weight is embedding.weight
    ends = {id(part) for part in (head, embedding)} if tied else set()
    for module in plain.modules():
        if id(module) not in ends:
            _give_its_own(plain, module)
    if head is not None and not tied:
        for config in (plain.config, plain.config.get_text_config(decoder=True)):
            config.tie_word_embeddings = False
