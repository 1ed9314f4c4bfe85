"""TRL's SFTTrainer with a method in it, ready made; needs TRL."""

from __future__ import annotations

from secura_bench.foundation.errors import SpecError
from secura_bench.integrations.sft_mixin import SFTMethodMixin

try:
    from trl import SFTTrainer
except ImportError as error:
    raise SpecError(f"SFTMethodTrainer needs TRL ({error}): pip install 'secura-bench[trl]'.") from None


class SFTMethodTrainer(SFTMethodMixin, SFTTrainer):
    """``trl.SFTTrainer`` that trains with a method; ``SFTMethodMixin`` says what that takes and adds."""
