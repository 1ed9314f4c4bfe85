"""From rows to batches: splits, chat formatting, examples, sampling, collation."""
