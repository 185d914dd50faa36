"""Bias tuning: only additive terms train, those of convolutions, linear layers and normalisation.

BitFit (Ben Zaken et al. 2022, https://arxiv.org/abs/2106.10199) for transformers; the bias-only
baseline of TinyTL (Cai et al. 2020, https://arxiv.org/abs/2007.11622, section 3.2) for
convolutional networks. No activation before a bias is needed to train it.
"""

from unfreeze.tuning import lean
from unfreeze.tuning.methods import parameters


def insert(model, modules: list[str], facts, knobs, image_size: int) -> None:
    """Nothing to add; activations keep only what the way back through them needs."""
    lean.mask_activations(model, modules)


def trained(model, modules: list[str]) -> list[str]:
    """Names of the additive parameters in some blocks."""
    # in_proj_bias: the packed query, key and value projections of torch's attention; q_bias and
    # v_bias: those of BEiT's.
    return [name for name, _, local in parameters(model, modules)
            if local in ("bias", "in_proj_bias", "q_bias", "k_bias", "v_bias")]
