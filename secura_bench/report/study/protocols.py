"""What each protocol measures: its metrics' names in tables, their scale, and which one speaks for the protocol."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A metric: ``heading`` in tables; ``percent`` between 0 and 100, more being better, else lower is better.

    ``meaning`` is what it is of. ``untold`` is what keeps it from saying anything of some texts, "" where nothing does.
    """

    id: str
    heading: str
    meaning: str
    percent: bool = True
    untold: str = ""


_NO_WORDS = "its tokenizer sees no words in the references"
METRICS = {
    metric.id: metric
    for metric in (
        Metric("accuracy", "acc", "answers that are right; what counts as right is the protocol's"),
        Metric(
            "accuracy_norm",
            "acc-norm",
            "as accuracy, each choice's log-likelihood divided by its characters (lm-eval's acc_norm)",
        ),
        Metric("char_bleu", "BLEU", "the paper's BLEU: sentence BLEU over characters, mean of the rows"),
        Metric(
            "bleu",
            "BLEU",
            "sacreBLEU's corpus BLEU over all rows",
            untold="no reference has the four tokens of its longest n-grams",
        ),
        Metric("chrf", "chrF", "sacreBLEU's corpus chrF2 over all rows"),
        Metric("rouge1", "R-1", "F-measure of the words in common, mean of the rows", untold=_NO_WORDS),
        Metric(
            "rouge2",
            "R-2",
            "F-measure of the pairs of words in common, mean of the rows",
            untold="no reference has two words that its tokenizer sees",
        ),
        Metric("rougeL", "R-L", "F-measure of the longest sequence of words in common", untold=_NO_WORDS),
        Metric("rougeLsum", "R-Lsum", "as rougeL, line by line", untold=_NO_WORDS),
        Metric("perplexity", "ppl", "exp of the mean loss a token", percent=False),
        Metric("loss", "loss", "mean cross-entropy in nats", percent=False),
        Metric("tokens", "tokens", "number of scored tokens", percent=False),
    )
}
"""The metrics that the package knows."""


@dataclass(frozen=True)
class Protocol:
    """A way of scoring. ``metrics`` are shown of the probe, the first speaks for it; ``learned`` of trained tasks.

    ``meaning`` is what a reader must know of it, ``warning`` of that what would mislead who does not know it.
    """

    id: str
    metrics: tuple[str, ...]
    learned: tuple[str, ...]
    meaning: str
    warning: str = ""

    @property
    def heading(self) -> str:
        """The name in titles."""
        return self.id.replace("_", "-")

    @property
    def main(self) -> Metric:
        """The metric that speaks for the protocol: retention and continual metrics are computed from it."""
        return metric(self.metrics[0])


PROTOCOLS = {
    protocol.id: protocol
    for protocol in (
        Protocol(
            "teacher_forced",
            ("char_bleu", "rouge1", "rougeL", "accuracy"),
            ("char_bleu", "accuracy"),
            "every answer token is predicted from the reference's own beginning; high without any skill, not to be "
            "compared with generation",
            "every token is predicted from the reference's own beginning; high without any skill",
        ),
        Protocol(
            "generate",
            ("accuracy", "bleu", "rouge1", "rougeL"),
            ("accuracy", "rouge1"),
            "greedy generation from the prompt alone",
        ),
        Protocol(
            "choice",
            ("accuracy", "accuracy_norm"),
            ("accuracy", "accuracy_norm"),
            "the choice of highest log-likelihood given the prompt; rows without choices are left out",
            "rows without choices are left out",
        ),
        Protocol(
            "perplexity",
            ("perplexity",),
            ("perplexity",),
            "plain text by sliding windows, exp of the mean loss a token in nats; lower is better",
            "lower is better",
        ),
    )
}
"""The protocols in the order of their tables."""


def metric(id_: str) -> Metric:
    """Return what is known of a metric; one that the package does not know (``evaluate:…``) is called by its id."""
    return METRICS.get(id_) or Metric(id_, id_, "")
