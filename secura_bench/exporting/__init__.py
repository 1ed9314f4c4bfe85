"""What an export rests on: the model it was trained on, the kept result whole, and the same logits, asked first."""
