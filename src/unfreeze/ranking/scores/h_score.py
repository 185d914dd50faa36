"""How much of the features' spread is between the classes.

    tr(cov(f)^-1 cov(E[f | y]))

Bao et al., An Information-Theoretic Approach to Transferability in Task Transfer Learning, ICIP
2019, definition 2. With few images cov(f) is shrunk towards a multiple of the identity, and the
other multiplied by as much, as Ibrahim, Ponomareva and Mazumder have it (Newer is not Always
Better: Rethinking Transferability Metrics, Their Peculiarities, Stability and Performance, ECML
2022, section 3), by the share of Ledoit and Wolf (A Well-Conditioned Estimator for
Large-Dimensional Covariance Matrices, 2004).
"""

import torch

from unfreeze.ranking.scores import Features


def score(features: Features) -> float:
    """From 0 to the number of classes less one."""
    values = features.values - features.values.mean(0)
    images, columns = values.shape
    share, spread = shrinkage(values)
    _, singular, right = torch.linalg.svd(values, full_matrices=False)
    kept = singular > singular.max() * 1e-12
    # Along the right singular vectors the covariance is diagonal; the means of classes have nothing
    # beyond them.
    variances = (1 - share) * singular[kept].square() / images + share * spread
    along = values @ right[kept].T
    counts = torch.bincount(features.labels, minlength=features.classes).double()
    means = torch.zeros(features.classes, along.shape[1], dtype=torch.float64)
    means.index_add_(0, features.labels, along)
    means /= counts.clamp(min=1)[:, None]
    between = (counts[:, None] * means.square() / variances).sum() / images
    return (1 - share) * between.item()


def shrinkage(values: torch.Tensor) -> tuple[float, float]:
    """The share of Ledoit and Wolf, from 0 to 1, and the mean variance of a column.

    Args:
        values: (n, D) float64, centred.
    """
    images, columns = values.shape
    squares = values.square()
    spread = squares.sum().item() / images / columns
    # |F'F|^2 is |FF'|^2: the smaller of the two is made.
    product = values.T @ values if columns <= images else values @ values.T
    size = product.square().sum().item() / images**2
    fourth = squares.sum(1).square().sum().item()
    noise = (fourth / images - size) / (columns * images)
    apart = size / columns - spread**2
    return (min(noise, apart) / apart if apart > 0 and noise > 0 else 0.0), spread
