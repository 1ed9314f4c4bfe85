"""The CUR core: which columns and rows of a weight make up C and R, and what passes between them.

W is h×d (``nn.Linear.weight``). C (h×r) holds r columns of W and R (r×d) holds r rows, both frozen. An update of W
is C · core · R with an r×r core, so that everything trained and merged lives in r×r.
"""

from __future__ import annotations

import zlib
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Selection = Literal["lowest", "sampled"]


def lowest_norm(weight: Tensor, r: int) -> tuple[Tensor, Tensor]:
    """Return the indices of the r columns and of the r rows of lowest L2 norm, each in ascending order of norm.

    Norms are taken in fp32, ties keep their order: column i of C is paired with row i of A (SECURA, section 3.1).
    """
    squares = weight.detach().float().square()
    columns = squares.sum(dim=0).argsort(stable=True)[:r]
    rows = squares.sum(dim=1).argsort(stable=True)[:r]
    return columns, rows


def sampling_probabilities(weight: Tensor, dim: int) -> Tensor:
    """Return the probability with which each column (``dim`` 0 is summed over) or row (1) is drawn: 1 / (p + 0.001).

    p is the share of the squared norm; small ones are preferred (CUR-LoRA, Fawi 2024, section 3.2).
    """
    squares = weight.detach().float().square().sum(dim=dim)
    inverse = 1 / (squares / squares.sum() + 0.001)
    return inverse / inverse.sum()


def sampled(weight: Tensor, r: int, seed: int, path: str = "") -> tuple[Tensor, Tensor]:
    """Return indices of r columns, then of r rows, drawn with replacement by ``sampling_probabilities``.

    Seeded by ``seed`` and the module's ``path``: with one seed for all, modules of a shape would draw nearly alike.
    """
    if weight.is_meta:  # shapes alone
        index = torch.empty(r, dtype=torch.long, device="meta")
        return index, index
    generator = torch.Generator().manual_seed(zlib.crc32(f"{seed}/{path}".encode()))
    columns, rows = (
        torch.multinomial(sampling_probabilities(weight, dim).cpu(), r, replacement=True, generator=generator)
        for dim in (0, 1)
    )
    return columns.to(weight.device), rows.to(weight.device)


def initial_a(weight: Tensor, r: int, m: int) -> Tensor:
    """Return A at the start, r×m: U[:r,:] S V[:m,:]ᵀ of the SVD W = U S Vᵀ (SECURA, equation 3).

    That product is exactly W[:r, :m], so no SVD is needed; a test compares the two.
    """
    return weight.detach()[:r, :m].float().clone()


def core_forward(x: Tensor, C: Tensor, core: Tensor, R: Tensor) -> Tensor:
    """Return x (C core R)ᵀ, (..., h), by thin products, never forming h×d."""
    return F.linear(F.linear(x, core @ R.to(x.dtype)), C.to(x.dtype))


def core_weight(C: Tensor, core: Tensor, R: Tensor) -> Tensor:
    """Return the update C core R as an h×d matrix."""
    return C @ core @ R
