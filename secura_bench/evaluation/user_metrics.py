"""Metrics of the ``evaluate`` package, by id or from a local folder. They are code: a run asks before it loads one."""

from __future__ import annotations

import hashlib
import inspect
import numbers
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secura_bench.foundation.errors import DataError, SpecError
from secura_bench.foundation.home import from_home
from secura_bench.foundation.wording import sentence_of

PREFIX = "evaluate:"


@dataclass(frozen=True)
class UserMetric:
    """A metric of whole sets of texts. ``name`` is ``evaluate:<id>``; ``signature`` says which code it is."""

    name: str
    signature: str
    module: Any

    def score(self, hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        """Return the metric's numbers, as it gives them: one under its own name, more with a key each.

        Raises:
            DataError: The metric fails on these texts, or gives no number.
        """
        try:
            found = self.module.compute(predictions=list(hypotheses), references=list(references))
        except Exception as error:
            raise DataError(f"metric {self.name}: fails with {type(error).__name__}: {error}") from error
        values = {
            key: float(value)
            for key, value in (found.items() if isinstance(found, Mapping) else ())
            if isinstance(value, numbers.Real)
        }
        if not values:
            raise DataError(f"metric {self.name}: gives no number, but {found!r}.")
        if len(values) == 1:
            return {self.name: next(iter(values.values()))}
        return {f"{self.name}.{key}": value for key, value in values.items()}


def load_metric(name: str) -> UserMetric:
    """Load ``evaluate:<id>``: a metric of the Hub, or of a folder that holds a Python file of its name.

    Raises:
        SpecError: It cannot be loaded.
    """
    metric = name.removeprefix(PREFIX)
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        os.environ.setdefault("HF_EVALUATE_OFFLINE", "1")  # else it asks the Hub, and again, before it looks at home
    import evaluate

    folder = from_home(metric)
    try:
        module = evaluate.load(str(folder.resolve()) if folder.is_dir() else metric, keep_in_memory=True)
    except Exception as error:
        raise SpecError(
            f"metric {name!r} cannot be loaded: {sentence_of(error)} Without a network, give the path of a folder that "
            f"holds the metric: evaluate:./my_metric with my_metric/my_metric.py in it."
        ) from None
    source = inspect.getsourcefile(type(module))
    code = hashlib.sha256(Path(source).read_bytes()).hexdigest()[:12] if source else "?"
    return UserMetric(name, f"evaluate {evaluate.__version__}|{module.name}|code:{code}|as it gives it", module)
