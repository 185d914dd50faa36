"""What acts on weights besides the gradient: an average over steps, a pull to where they began."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch


class Average:
    """Exponential moving average of all tensors of a model (Polyak and Juditsky 1992): after each
    step, average = decay * average + (1 - decay) * model.

    Args:
        model: whose tensors, BatchNorm's statistics included, are averaged from now on.
        decay: 0 turns it off: the average is the model.
    """

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        self._model, self._decay = model, decay
        self._tensors = {name: tensor.clone() for name, tensor in self._floats().items()}

    def _floats(self) -> dict[str, torch.Tensor]:
        if not self._decay:
            return {}
        return {name: tensor for name, tensor in self._model.state_dict().items()
                if tensor.is_floating_point()}

    def update(self) -> None:
        """Take in the model as it is after a step."""
        if self._decay:
            torch._foreach_lerp_(list(self._tensors.values()), list(self._floats().values()),
                                 1 - self._decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model holds the average inside, and its own tensors again afterwards."""
        last = {name: tensor.clone() for name, tensor in self._floats().items()}
        self._copy(self._tensors)
        try:
            yield
        finally:
            self._copy(last)

    def _copy(self, tensors: dict[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, tensor in self._floats().items():
                tensor.copy_(tensors[name])

    def state_dict(self) -> dict[str, torch.Tensor]:
        return dict(self._tensors)

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        for name, tensor in self._tensors.items():
            tensor.copy_(state[name])


class Anchor:
    """L2-SP (Li et al. 2018, https://arxiv.org/abs/1802.01483, equation 3): a pull of every
    pretrained parameter that trains towards its pretrained value, (strength / 2) |w - w0|^2.

    Args:
        model: requires_grad is set.
        initial: {name: tensor} as pretrained.
        strength: 0 turns it off.
    """

    def __init__(self, model: torch.nn.Module, initial: Mapping[str, torch.Tensor],
                 strength: float) -> None:
        self.strength = strength
        self.names = [name for name, parameter in model.named_parameters()
                      if strength and parameter.requires_grad and name in initial]
        self._parameters = [model.get_parameter(name) for name in self.names]
        self._start = [initial[name].to(p.device) for name, p in
                       zip(self.names, self._parameters, strict=True)]

    @torch.no_grad()
    def pull(self) -> None:
        """Add the gradient of the pull, strength * (w - w0), to the gradients."""
        for parameter, start in zip(self._parameters, self._start, strict=True):
            parameter.grad.add_(parameter - start, alpha=self.strength)
