"""Fine-tuning whose logits are held near those of the untouched model."""

import torch

from secura_bench import Method, Options
from secura_bench.models.head import answer_logits


class NearBaseOptions(Options):
    strength: float = 1.0


class NearBase(Method):
    """Adds strength · (z − z_base)² to the loss: a mean over the vocabulary and, by weight, answer positions."""

    name = "near_base"
    Options = NearBaseOptions
    needs_base = True

    def terms(self, model, batch, logits):
        with torch.no_grad():
            base = answer_logits(self.base, batch).float()
        gaps = (logits.float() - base).square().mean(-1)
        mean = (batch.weights * gaps).sum() / batch.weights.sum().clamp(min=1e-12)  # a filled-up row weighs nothing
        return {"apart": self.options.strength * mean}
