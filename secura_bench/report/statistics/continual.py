"""What a sequence of tasks did to a model, from its accuracy matrix. Needs NumPy alone.

``R[i, j]`` is the score on task j after task i was trained, with T rows and T columns in training order; NaN where
it was not measured. ``base[j]`` is the score of the model before any training, ``single[j]`` that of a model trained
on task j alone. No function changes its arguments, and each returns NaN where what it needs is undefined: a gap is
shown, not averaged over.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def average_accuracy(R: ArrayLike) -> float:
    """Return ACC = (1/T) Σ_j R[T-1, j]: the mean over all tasks at the end.

    Source: Lopez-Paz & Ranzato 2017 (arXiv 1706.08840), equation 2.
    """
    return _mean(_matrix(R)[-1])


def learning_accuracy(R: ArrayLike) -> float:
    """Return LA = (1/T) Σ_j R[j, j]: the mean over tasks of the score right after each was trained.

    Source: Riemer et al. 2019 (arXiv 1810.11910), section 5.
    """
    return _mean(np.diagonal(_matrix(R)))


def backward_transfer(R: ArrayLike) -> float:
    """Return BWT = (1/(T-1)) Σ_{j<T-1} (R[T-1, j] - R[j, j]): what later tasks did to earlier ones.

    Negative where they were forgotten; NaN for one task. Source: Lopez-Paz & Ranzato 2017, equation 3. mammoth's
    ``backward_transfer`` is the same. Avalanche defines its BWT as minus its own forgetting, which is first minus last
    score and so the same number here.
    """
    R = _matrix(R)
    return _mean(R[-1, :-1] - np.diagonal(R)[:-1])


def forward_transfer(R: ArrayLike, base: ArrayLike) -> float:
    """Return FWT = (1/(T-1)) Σ_{0<j<T} (R[j-1, j] - base[j]): what earlier tasks did for the next one, untrained.

    NaN for one task. Source: Lopez-Paz & Ranzato 2017, equation 4, where the comparison is with a random
    initialisation, as in mammoth and Avalanche; a pretrained model's is its own score before training.
    """
    R = _matrix(R)
    return _mean(np.diagonal(R, offset=1) - _vector(base, R)[1:])


def forgetting(R: ArrayLike) -> float:
    """Return F = (1/(T-1)) Σ_{j<T-1} (max_{j<=l<T-1} R[l, j] - R[T-1, j]): a task's best score minus its last.

    Negative where a task was best at the end; NaN for one task. Source: Chaudhry et al. 2018 (arXiv 1801.10112),
    equation 3. Deviation: their maximum begins at the first task (l = 0), ours where task j was trained (l = j): what a
    pretrained model could do before it was trained on a task is not what training taught it. Others differ: mammoth
    takes the maximum over all rows, the last and those before the task was trained included (zeros where nothing was
    measured), so that it is never negative, and pads the caller's lists in place; Avalanche subtracts the last score
    from the first one, right after training, whatever lay between.
    """
    R = _matrix(R)
    last = len(R) - 1
    return _mean([np.max(R[j:last, j]) - R[last, j] for j in range(last)])


def intransigence(R: ArrayLike, single: ArrayLike) -> float:
    """Return I = (1/T) Σ_j (single[j] - R[j, j]): how much less of a task was learned than by training on it alone.

    Source: Chaudhry et al. 2018, equation 5, averaged over tasks. Their reference is a model trained on all tasks up
    to j at once; whichever is given as ``single`` should be named.
    """
    R = _matrix(R)
    return _mean(_vector(single, R) - np.diagonal(R))


def retention(score: float, base: float) -> float:
    """Return 100 · score / base, in percent: how much of what the base model could is left; NaN where that is nothing.

    The SECURA paper's measure (arXiv 2502.18168, section 4.4). A model that learns nothing keeps everything: read it
    beside ``learning_accuracy``.
    """
    return 100.0 * score / base if base else float("nan")


def _matrix(R: ArrayLike) -> NDArray[np.float64]:
    matrix = np.array(R, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise ValueError(f"an accuracy matrix is square, with a row and a column a task, not {matrix.shape}")
    return matrix


def _vector(values: ArrayLike, R: NDArray[np.float64]) -> NDArray[np.float64]:
    vector = np.array(values, dtype=np.float64)
    if vector.shape != (len(R),):
        raise ValueError(f"there must be one score for each of {len(R)} tasks, not {vector.shape}")
    return vector


def _mean(values: ArrayLike) -> float:
    """Return the mean; NaN of nothing, and where one is missing."""
    numbers = np.asarray(values, dtype=np.float64)
    return float(numbers.mean()) if numbers.size else float("nan")
