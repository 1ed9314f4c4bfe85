"""Gradient projection with a memory: A-GEM (Chaudhry et al. 2019, arXiv 1812.00420)."""

from dataclasses import replace

import torch

from secura_bench import Method, Options
from secura_bench.methods.buffers import Reservoir
from secura_bench.methods.options import Positive, resolve_seed


class AGEMOptions(Options):
    memory: Positive = 256
    """How many rows of earlier tasks are held."""

    rows: Positive = 16
    """How many of them each step looks at."""


class AGEM(Method):
    """g ← g − (g·r / r·r) r where g·r < 0, with r the gradient on rows of earlier tasks, over all that is trained.

    So a step never makes the loss on the memory larger, to first order. The memory and the generator that draws from
    it change along the way: they are the method's state.
    """

    name = "agem"
    Options = AGEMOptions

    def __init__(self, options=None):
        super().__init__(options)
        self.memory = Reservoir(self.options.memory, resolve_seed(None))

    def after_backward(self, model, step):
        rows = self.memory.draw(self.options.rows)
        if not rows:
            return
        trained = [p for p in model.parameters() if p.grad is not None]
        loss = step.loss(model, step.collate(rows))
        reference = torch.autograd.grad(loss.sum / loss.tokens, trained)
        along = sum((p.grad * r).sum() for p, r in zip(trained, reference, strict=True))
        if along < 0:
            share = along / sum(r.square().sum() for r in reference)
            for p, r in zip(trained, reference, strict=True):
                p.grad -= share * r

    def end_task(self, model, task):
        for example in task.train:
            self.memory.add(example)

    def count_parameters(self, model):
        return super().count_parameters(model).with_held(self.memory.tokens)

    def footprint(self):  # a plan: the memory's rows take about as long as the task's
        return replace(super().footprint(), relative_work=2.0)

    def state_dict(self):
        return self.memory.state_dict()

    def load_state_dict(self, state):
        self.memory.load_state_dict(state)
