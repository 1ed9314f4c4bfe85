"""What a model answers, batch by batch: a module a protocol, which import torch."""
