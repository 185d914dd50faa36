"""What acts on weights besides the gradient: an average over steps, a pull to where they began."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch


class Average:
    """Exponential moving average of all tensors of a model (Polyak and Juditsky 1992): after step
    t, average = d * average + (1 - d) * model, with d = min(decay, t / (t + 9)).

    The first decays are smaller so that what the model started as does not stay in the average of
    a short training: without, 0.9998 would leave 99 % of it there after 40 steps. Their form is
    that of TensorFlow's ExponentialMovingAverage with `num_updates`, (1 + n) / (10 + n), where n
    counts from 0: https://www.tensorflow.org/api_docs/python/tf/train/ExponentialMovingAverage.
    After step t what the start still weighs is below 9! / t^9, and the average reaches about t / 9
    steps back until that is more than `decay` allows.

    Args:
        model: whose tensors, BatchNorm's statistics included, are averaged from now on.
        decay: 0 turns it off: the average is the model.

    Attributes:
        tensors: {name: tensor} of the average; empty where it is off.
    """

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        self._model, self._decay, self._steps = model, decay, 0
        self.tensors = {name: tensor.clone() for name, tensor in self._floats().items()}

    def _floats(self) -> dict[str, torch.Tensor]:
        if not self._decay:
            return {}
        return {name: tensor for name, tensor in self._model.state_dict().items()
                if tensor.is_floating_point()}

    def update(self) -> None:
        """Take in the model as it is after a step."""
        if self._decay:
            self._steps += 1
            decay = min(self._decay, self._steps / (self._steps + 9))
            torch._foreach_lerp_(list(self.tensors.values()), list(self._floats().values()),
                                 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model holds the average inside, and its own tensors again afterwards."""
        last = {name: tensor.clone() for name, tensor in self._floats().items()}
        self._copy(self.tensors)
        try:
            yield
        finally:
            self._copy(last)

    def _copy(self, tensors: dict[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, tensor in self._floats().items():
                tensor.copy_(tensors[name])

    def state_dict(self) -> dict:
        return {"steps": self._steps, "tensors": dict(self.tensors)}

    def load_state_dict(self, state: dict) -> None:
        self._steps = state["steps"]
        for name, tensor in self.tensors.items():
            tensor.copy_(state["tensors"][name])


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
