"""How alike two trained models are. NumPy in float64; no model, no torch.

A model's tensors come as {part: {tensor's name: array}}, stem to head, and its activations as
{part: (N, D)}.
"""

import numpy as np

Tensors = dict[str, dict[str, np.ndarray]]

HEADER = ("seed", "measure", "part", "kind", "tensor", "shape", "run", "value")
DECIMALS = 6


def cosine(first: np.ndarray, second: np.ndarray) -> float | None:
    """Cosine of the angle between two tensors of equal shape, seen as vectors; None where either
    is all zeros and so has no direction."""
    first, second = first.astype(np.float64).ravel(), second.astype(np.float64).ravel()
    return _ratio(first @ second, np.linalg.norm(first) * np.linalg.norm(second))


def linear_cka(first: np.ndarray, second: np.ndarray) -> float | None:
    """Linear centred kernel alignment of two sets of activations of the same N images: HSIC with
    linear kernels, normalised, in feature space (Kornblith et al. 2019,
    https://arxiv.org/abs/1905.00414, section 3):

        |Y'X|^2 / (|X'X| |Y'Y|), Frobenius norms, each column of X and Y centred

    Args:
        first, second: (N, D) and (N, E).

    Returns:
        0 (unrelated) to 1 (equal up to rotation, shift and scale); None where all images have the
        same activations.
    """
    first, second = (activations - activations.mean(axis=0) for activations in
                     (first.astype(np.float64), second.astype(np.float64)))
    return _ratio(_squares(second.T @ first),
                  np.linalg.norm(first.T @ first) * np.linalg.norm(second.T @ second))


def cosine_rows(seed: int, first: Tensors, second: Tensors) -> list[tuple]:
    """A row for every tensor that both models have with equal shape."""
    return [
        (seed, "cosine", part, kind(name), name, "x".join(map(str, tensor.shape)), "",
         _rounded(cosine(tensor, second[part][name])))
        for part, tensors in first.items()
        for name, tensor in tensors.items()
        if name in second.get(part, {}) and second[part][name].shape == tensor.shape
    ]


def kind(name: str) -> str:
    """`bias` or `weight`, by the last word of a tensor's name (attention has `in_proj_bias`)."""
    return "bias" if name.endswith("bias") else "weight"


def distance_rows(seed: int, run: str, movement: list[dict[str, str]]) -> list[tuple]:
    """Two rows (distance, relative distance) for every part of a run's movement.csv, whose rows
    come as text."""
    return [(seed, measure, row["part"], "", "", "", run,
             float(row[measure]) if row[measure] else None)
            for row in movement if row["seed"] == str(seed)
            for measure in ("distance", "relative_distance")]


def cka_rows(seed: int, first: dict[str, np.ndarray],
             second: dict[str, np.ndarray]) -> list[tuple]:
    """A row for every part whose activations both models have."""
    return [(seed, "cka", part, "", "", "", "", _rounded(linear_cka(activations, second[part])))
            for part, activations in first.items() if part in second]


def _squares(values: np.ndarray) -> float:
    return float(np.sum(np.square(values, dtype=np.float64)))


def _ratio(value: float, norm: float) -> float | None:
    return float(value / norm) if norm > 0 else None


def _rounded(value: float | None) -> float | None:
    # Rounded so that a repetition gives the same text; + 0.0 turns -0.0 into 0.0.
    return None if value is None else round(value, DECIMALS) + 0.0
