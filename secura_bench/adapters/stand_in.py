"""What a module in the place of a linear one shows of it, and which of its tensors are what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from torch import Tensor, nn

Names = tuple[str, ...]
"""Names of tensors of a layer."""


class LinearStandIn(nn.Module):
    """A module around the frozen linear layer ``base``; its ``weight`` and ``bias`` are the base's, as in PEFT.

    Some models look at a layer's weight, not only call it: Mamba asks its head's ``weight.dtype`` in every forward. A
    model that computes with such a weight itself never calls the module: ``reached`` refuses that.

    A subclass says by name which of its tensors are what; one that is None is none.
    """

    base: nn.Linear

    trained_names: ClassVar[Names] = ()
    """Parameters, which the optimizer gets."""

    still_names: ClassVar[Names] = ()
    """Of these, those that have no gradient where ``is_still``."""

    moved_names: ClassVar[Names] = ()
    """Buffers that merges or averages change: what is trained is not whole without them."""

    grown_names: ClassVar[Names] = ()
    """Of these, those that have more rows or columns after each task."""

    held_names: ClassVar[Names] = ()
    """Whatever is held beside the model and not given to the optimizer."""

    into_base: bool = False
    """Whether steps change the base's weight itself."""

    @property
    def is_still(self) -> bool:
        """Whether ``still_names`` have no gradient, in any forward."""
        return False

    @property
    def weight(self) -> Tensor:
        """The base's weight, without the update: (h, d)."""
        return self.base.weight

    @property
    def bias(self) -> Tensor | None:
        """The base's bias: (h,)."""
        return self.base.bias

    def tensors(self, names: Names) -> Iterator[tuple[str, Tensor]]:
        """Yield those of the tensors of these names that are there."""
        for name in names:
            if (tensor := getattr(self, name)) is not None:
                yield name, tensor

    @property
    def effective(self) -> int:
        """The number of scalars that are trained and ever have a gradient."""
        still = self.still_names if self.is_still else ()
        moving = (tensor for name, tensor in self.tensors(self.trained_names) if name not in still)
        return sum(tensor.numel() for tensor in moving if tensor.requires_grad)

    @property
    def held(self) -> int:
        """The number of scalars held beside the model."""
        return sum(tensor.numel() for _, tensor in self.tensors(self.held_names))


def stand_ins(model: nn.Module) -> Iterator[tuple[str, LinearStandIn]]:
    """Yield the path and layer of every module of ``model`` that stands in the place of a linear one."""
    return ((path, module) for path, module in model.named_modules() if isinstance(module, LinearStandIn))


def moved_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return by name the buffers that training changes beside the parameters."""
    return {
        f"{path}.{name}": tensor
        for path, layer in stand_ins(model)
        for name, tensor in layer.tensors(layer.moved_names)
    }


def base_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return by name the weights that the adapted modules stand in for: what a merge into them changes."""
    return {f"{path}.base.weight": layer.weight for path, layer in stand_ins(model)}


def moving_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return by name whatever steps change beside the parameters: buffers, and weights that are merged into."""
    bases = {f"{path}.base.weight": layer.weight for path, layer in stand_ins(model) if layer.into_base}
    return moved_tensors(model) | bases
