"""Fine-tuning that is held to what the untouched model says."""

import torch
from torch.nn import functional as F

from secura_bench import Method, Options
from secura_bench.models.head import answer_logits


class KLOptions(Options):
    strength: float = 1.0


class KLToBase(Method):
    """Adds strength · KL(base ‖ model) to the loss, a mean over answer positions by their weights."""

    name = "kl_to_base"
    Options = KLOptions
    needs_base = True

    def terms(self, model, batch, logits):
        with torch.no_grad():
            base = answer_logits(self.base, batch).float().log_softmax(-1)
        gaps = F.kl_div(logits.float().log_softmax(-1), base, log_target=True, reduction="none").sum(-1)
        mean = (batch.weights * gaps).sum() / batch.weights.sum().clamp(min=1e-12)  # a filled-up row weighs nothing
        return {"kl": self.options.strength * mean}
