"""What libraries tell their own developers by warnings, kept from the user of this program."""

from __future__ import annotations

import warnings


def leave_out_library_warnings() -> None:
    """Have this process keep to itself what libraries will change in future."""
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|peft|accelerate)\b")
