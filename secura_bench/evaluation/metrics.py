"""The metrics by name: what tables call each, its scale, and what it is of. Imports no torch."""

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
        Metric("exact_match", "EM", "the reference, but for case and punctuation; of tasks that name it"),
        Metric("edit_similarity", "ES", "fuzzywuzzy's ratio of characters that match; of tasks that name it"),
        Metric("sari", "SARI", "n-grams kept, deleted and added as in the reference; of tasks that name it"),
        Metric("pass_at_1", "pass@1", "programs that pass their tests, of those that were run; one is written a row"),
        Metric("score", "score", "what a task counts, in percent: see the protocols own_metric and lm_eval"),
        Metric("perplexity", "ppl", "exp of the mean loss a token", percent=False),
        Metric("loss", "loss", "mean cross-entropy in nats", percent=False),
        Metric("tokens", "tokens", "number of scored tokens", percent=False),
    )
}
"""The metrics that the package knows."""


def metric(id_: str) -> Metric:
    """Return what is known of a metric; one that the package does not know (``evaluate:…``) is called by its id."""
    return METRICS.get(id_) or Metric(id_, id_, "")
