"""Metrics and protocols, as the tables name them: ``evaluation`` says what each is."""

from __future__ import annotations

from secura_bench.evaluation.metrics import METRICS, Metric, metric
from secura_bench.evaluation.protocols import PROTOCOLS
from secura_bench.evaluation.protocols.protocol import Protocol

__all__ = ["METRICS", "PROTOCOLS", "Metric", "Protocol", "metric"]
