"""Whether a metric of the ``evaluate`` package is there, before any of its code is loaded."""

from __future__ import annotations

from secura_bench.evaluation.user_metrics import PREFIX
from secura_bench.foundation.errors import SpecError
from secura_bench.foundation.home import from_home
from secura_bench.foundation.nearest import nearest_path
from secura_bench.hub.spaces import has_space

_KINDS = ("metric", "comparison", "measurement")  # in this order ``evaluate.load`` looks for an id


def check_metric(name: str) -> None:
    """Refuse a metric that is not there; an id is believed where the Hub cannot be asked.

    Raises:
        SpecError: It is a path without the metric's Python file, or an id that the Hub does not have.
    """
    metric = name.removeprefix(PREFIX)
    folder = from_home(metric)
    if folder.is_dir():
        script = folder / f"{folder.resolve().name}.py"
        if not script.is_file():
            raise SpecError(f"metric {name!r}: the folder must hold the metric as {script.name}.")
    elif metric.startswith((".", "~", "/")) or metric.count("/") > 1:
        raise SpecError(f"metric {name!r}: no such folder.{nearest_path(folder)} It holds the metric's Python file.")
    elif has_space(*([metric] if "/" in metric else [f"evaluate-{kind}/{metric}" for kind in _KINDS])) is False:
        raise SpecError(
            f"metric {name!r}: the Hub has none of that name. https://huggingface.co/evaluate-metric lists them; one "
            "of your own is evaluate:FOLDER."
        )
