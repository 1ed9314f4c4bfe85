"""Fine-tuning that is pulled back to where it started."""

from secura_bench import Method, Options


class L2Options(Options):
    strength: float = 1.0


class L2ToStart(Method):
    """Adds strength · Σ (θ − θ₀)² over whatever is trained to the loss."""

    name = "l2_to_start"
    anchors_weights = True
    Options = L2Options

    def start(self, model):
        self.anchor = [p.detach().clone() for p in model.parameters() if p.requires_grad]

    def terms(self, model, batch, logits):
        pairs = zip((p for p in model.parameters() if p.requires_grad), self.anchor, strict=True)
        return {"l2": self.options.strength * sum((now - then).square().sum() for now, then in pairs)}

    def count_parameters(self, model):
        return super().count_parameters(model).with_held(sum(tensor.numel() for tensor in self.anchor))
