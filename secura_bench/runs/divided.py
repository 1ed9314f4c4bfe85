"""A model asked by all processes of a run, each a share of the batches; the first alone gets what all were told."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import cast

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from secura_bench.evaluation.predictions import Prediction, Scored
from secura_bench.evaluation.protocols import PROTOCOLS
from secura_bench.evaluation.protocols.protocol import Asked, Protocol
from secura_bench.methods.lending import bits_of
from secura_bench.models.sharded import has_shards
from secura_bench.training.processes import everywhere, gather, place
from secura_bench.training.shares import deal, do_in_step, do_shares

UNLIKE = "the model was not the same in all processes of the run: the first one scored alone"


def ask(
    protocol: str, asked: Asked, receive: Callable[[Scored], None], check: Callable[[], None], divide: bool
) -> None:
    """Have each process ask its share of what is not known; the first ``receive``s all batches, as ``do_shares`` says.

    What is dealt are the batches that one process would make: a row's last bits may depend on its company. Unless the
    processes are to ``divide``, the first asks all. Of a model in parts every process asks all, at once.
    """
    way = PROTOCOLS[protocol]
    if has_shards(asked.model):
        do_in_step(way.predict(asked), lambda batch: receive(way.complete(asked, batch)), check)
        return
    do_shares(_share(way, asked, divide), lambda batch: receive(way.complete(asked, batch)), check)


def _share(way: Protocol, asked: Asked, divide: bool) -> Iterator[Scored]:
    """Yield the predictions of this process's share; of the first's, too, of whatever is in no batch."""
    here, hands = place()
    batches = way.batches(asked) if divide and hands > 1 else []
    costs = [way.reads([asked.examples[i] for i in batch], asked.context)[0] for batch in batches]
    mine = {i for n in deal(costs, hands)[here] for i in batches[n]}
    if not mine and here:
        return
    others = range(len(asked.examples)) if here else [i for batch in batches for i in batch]
    # What others ask is as good as known here, and a batch of known predictions alone is not asked.
    known = {**asked.known, **{i: Prediction() for i in others if i not in mine}}
    yield from way.predict(replace(asked, known=known))


def unwrapped(model: nn.Module) -> nn.Module:
    """Return a model without the wrapper in which several processes train it, whose forward waits for all of them."""
    return cast(nn.Module, model.module) if isinstance(model, DistributedDataParallel) else model


def is_alike(model: nn.Module) -> bool:
    """Return whether every process has the same ``model``, tensor by tensor and bit by bit, or parts of one."""
    return has_shards(model) or place()[1] == 1 or len(set(gather(everywhere(lambda: _content(model))))) == 1


def _content(model: nn.Module) -> str:
    """Return a hash over the sums of all tensors' bits; of a quantised weight, which is the base's, its kind alone."""
    digest = hashlib.sha256()
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        plain = type(tensor) in (Tensor, nn.Parameter)
        digest.update(f"{name} {tensor.dtype} {bits_of(tensor) if plain else type(tensor).__name__}\n".encode())
    return digest.hexdigest()
