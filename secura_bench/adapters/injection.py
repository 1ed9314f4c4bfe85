"""Putting adapter layers into a model by module name, in any architecture."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from secura_bench.adapters.conv1d import as_linear, is_conv1d
from secura_bench.adapters.towers import other_towers
from secura_bench.foundation.errors import SpecError, unknown_name
from secura_bench.models.tensors import sharing

DEFAULT_TARGETS = ("q_proj", "v_proj")


def check_targets(model: nn.Module, targets: Sequence[str]) -> list[str]:
    """Return the paths of the modules whose last name part is one of ``targets``, of those that read text.

    Raises:
        SpecError: A target matches nothing (the message lists the model's linear layers), or matches something
            that is neither an ``nn.Linear`` nor a Conv1D.
    """
    found: dict[str, list[str]] = {name: [] for name in targets}
    elsewhere = set(other_towers(model))
    for path, module in model.named_modules():
        last = path.rpartition(".")[2]
        if last in found and path not in elsewhere:
            if not isinstance(module, nn.Linear) and not is_conv1d(module):
                kind = type(module).__name__
                raise SpecError(f"target_modules: {path} is a {kind}; this method adapts nn.Linear and Conv1D alone.")
            found[last].append(path)
    for name, paths in found.items():
        if not paths:
            projections = {
                path.rpartition(".")[2]
                for path, module in model.named_modules()
                if isinstance(getattr(module, "weight", None), nn.Parameter) and module.weight.dim() == 2
            }
            raise SpecError(f"target_modules: {unknown_name('module', name, projections)}")
    return [path for paths in found.values() for path in paths]


def refuse_shared(model: nn.Module, targets: Sequence[str], way_out: str) -> None:
    """Refuse targets that share their weight with another module, for methods that write into it.

    Raises:
        SpecError: Names the two modules, and the way out.
    """
    shared = sharing(model)
    for path in check_targets(model, targets):
        if others := shared.get(f"{path}.weight"):
            other = others[0].rpartition(".")[0]
            raise SpecError(
                f"target_modules: {path} shares its weight with {other} (they are tied), and a merge would change "
                f"both; {way_out}"
            )


def inject(
    model: nn.Module, targets: Sequence[str], adapt: Callable[[str, nn.Linear], nn.Module]
) -> dict[str, nn.Module]:
    """Replace every targeted module by ``adapt(path, linear)``; return the new modules by path.

    A Conv1D is handed over as the ``nn.Linear`` that it is.
    """
    adapted: dict[str, nn.Module] = {}
    for path in check_targets(model, targets):
        parent, _, name = path.rpartition(".")
        layer = adapt(path, as_linear(model.get_submodule(path)))
        setattr(model.get_submodule(parent), name, layer)
        adapted[path] = layer
    return adapted
