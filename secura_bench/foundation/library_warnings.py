"""What libraries tell their own developers by warnings, kept from the user of this program."""

from __future__ import annotations

import warnings


def leave_out_library_warnings() -> None:
    """Have this process keep to itself what libraries will change in future, and what they say of layers that do."""
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|peft|accelerate)\b")
    # PEFT asks a norm for the sizes that a linear layer has; ln_tuning, which copies the norm, does without.
    warnings.filterwarnings("ignore", message=r"Unsupported layer type '.*Norm'>'", module=r"peft\.tuners\b")
