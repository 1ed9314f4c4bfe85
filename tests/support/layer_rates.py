"""Fine-tuning with smaller rates the nearer a layer is to the input."""

import re

from secura_bench.methods.method import Method, Options


class LayerRatesOptions(Options):
    factor: float = 0.5


class LayerRates(Method):
    """A layer's rate is the spec's times factor ** (layers above it); what is in no layer has the spec's."""

    name = "layer_rates"
    Options = LayerRatesOptions

    def parameter_groups(self, model):
        groups = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                found = re.search(r"\.(\d+)\.", name)
                groups.setdefault(int(found.group(1)) if found else None, []).append(parameter)
        last = max(layer for layer in groups if layer is not None)
        scale = {layer: 1.0 if layer is None else self.options.factor ** (last - layer) for layer in groups}
        return [{"params": tensors, "lr_scale": scale[layer]} for layer, tensors in groups.items()]
