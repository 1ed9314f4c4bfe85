"""The turns of a conversation as one model's chat template and tokenizer write them."""
