"""A KV cache with room on its right: the next token of every row is written there, and nothing that is kept is moved.

``DynamicCache`` makes all keys and values anew for each token, a sixth of a step of eight rows on a CPU.
"""

from __future__ import annotations

from operator import is_
from typing import Any

from torch import Tensor
from transformers.cache_utils import DynamicLayer

_ROOM = 16  # columns: little beside what an estimate of memory counts, and one move in so many tokens


class RoomyLayer(DynamicLayer):
    """The keys and values of one layer, (B, heads, W, width of a head) as in ``DynamicLayer``, with room behind them.

    Whoever puts other tensors in their place takes the room away: it is made anew with the next token.
    """

    keys: Tensor
    values: Tensor
    _rooms: tuple[Tensor, ...] = ()
    _views: tuple[Tensor, ...] = ()

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write the new columns; return all keys and all values."""
        kept, new = (self.keys, self.values), (key_states, value_states)
        begin, end = self.keys.shape[2], self.keys.shape[2] + key_states.shape[2]
        own = bool(self._views) and all(map(is_, kept, self._views))
        if not own or end > self._rooms[0].shape[2]:
            self._rooms = tuple(_with_room(tensor, end) for tensor in kept)
        for room, columns in zip(self._rooms, new, strict=True):
            room[:, :, begin:end] = columns
        self.keys, self.values = self._views = tuple(room[:, :, :end] for room in self._rooms)
        return self.keys, self.values


def make_roomy(cache: Any) -> None:
    """Give every plain layer of a cache that holds something its room; others, of a window say, stay as they are."""
    for layer in cache.layers:
        if type(layer) is DynamicLayer and layer.is_initialized:
            layer.__class__ = RoomyLayer


def _with_room(tensor: Tensor, width: int) -> Tensor:
    """Return a copy of what is kept, with columns on the right up to ``width`` and some more."""
    rows, heads, columns, wide = tensor.shape
    room = tensor.new_empty((rows, heads, width + _ROOM, wide))
    room[:, :, :columns] = tensor
    return room
