"""The former name of ``method``, ``parameters`` and ``base_model``: plug-ins may import it for one release more."""

from secura_bench.methods.base_model import Base
from secura_bench.methods.method import Loss, Method, Options, StepContext
from secura_bench.methods.parameters import ParameterCount, count_adapted

__all__ = ["Base", "Loss", "Method", "Options", "ParameterCount", "StepContext", "count_adapted"]
