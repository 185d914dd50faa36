"""How well one order of models foretells another.

tau is the share of pairs of models that both have in the same order, less the share that they have
in opposite ones (Kendall, A New Measure of Rank Correlation, 1938); ties count for neither. Its
interval over several datasets resamples models and datasets at once, since the same models are
there on each (Owen, The Pigeonhole Bootstrap, Annals of Applied Statistics 2007): it is about
models and datasets like these, and wide where they are few.
"""


import numpy as np

DRAWS, SEED = 2000, 0


def tau(first: np.ndarray, second: np.ndarray) -> float:
    """From -1 to 1; not a number where no pair of models is told apart.

    Args:
        first, second: (M,) of the same models, perhaps with some that are not a number.
    """
    agreement, known = _pairs(np.asarray(first, float), np.asarray(second, float))
    upper = np.triu_indices(len(agreement), 1)
    return _ratio(agreement[upper].sum(), known[upper].sum())


def mean_tau(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """Mean over datasets, and the ends of its 95 % interval.

    Args:
        first, second: (D, M) of M models on D datasets.
    """
    found = [_pairs(*each) for each in zip(np.asarray(first, float), np.asarray(second, float),
                                           strict=True)]
    agreement, known = (np.stack(part) for part in zip(*found, strict=True))
    datasets, models = len(agreement), agreement.shape[1]
    random = np.random.default_rng(SEED)
    drawn = []
    for _ in range(DRAWS):
        # How often each is drawn; a model drawn twice makes no pair with itself.
        of_models = np.bincount(random.integers(0, models, models), minlength=models)
        of_datasets = np.bincount(random.integers(0, datasets, datasets), minlength=datasets)
        drawn.append(_weighted(agreement, known, of_models, of_datasets))
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    return (_weighted(agreement, known, np.ones(models), np.ones(datasets)), float(low),
            float(high))


def _pairs(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(M, M) agreement of each pair: 1, -1, or 0 where that is not known; and where it is."""
    agreement = np.sign(first[:, None] - first) * np.sign(second[:, None] - second)
    known = np.isfinite(agreement) & (agreement != 0)
    return np.where(known, agreement, 0), known


def _weighted(agreement: np.ndarray, known: np.ndarray, of_models: np.ndarray,
              of_datasets: np.ndarray) -> float:
    weights = np.outer(of_models, of_models)
    sums, counts = ((each * weights).sum((1, 2)) for each in (agreement, known))
    there = (counts > 0) & (of_datasets > 0)
    taus = sums[there] / counts[there]
    return _ratio((taus * of_datasets[there]).sum(), of_datasets[there].sum())


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
