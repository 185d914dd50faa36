"""What several processes that train one run put together: sums, and whether all agree.

Each function here that is no look-up is a collective: it returns when every process has called it.
"""

import contextlib
from collections.abc import Iterable, Iterator

import torch
import torch.distributed as dist


def count() -> int:
    """How many train this run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if count() > 1 else 0


@contextlib.contextmanager
def first() -> Iterator[None]:
    """What is inside the first process does before the others. A collective."""
    if count() > 1 and rank():
        dist.barrier()
    try:
        yield
    finally:
        if count() > 1 and not rank():
            dist.barrier()


def same(number: int) -> bool:
    """Whether all processes come here with the same number. A collective."""
    if count() == 1:
        return True
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    most = torch.tensor([number, -number], device=device)
    dist.all_reduce(most, dist.ReduceOp.MAX)
    return most.sum().item() == 0


def rows(images: int) -> tuple[slice, int]:
    """Which images of a batch are this process's, and how many processes have the same ones: 1, or
    all where there are fewer images than processes, since none may be without."""
    others = count()
    if images < others:
        return slice(0, images), others
    return slice(images * rank() // others, images * (rank() + 1) // others), 1


def total(tensor: torch.Tensor) -> torch.Tensor:
    """Put the sum over all processes into a tensor, which is returned. A collective."""
    if count() > 1:
        dist.all_reduce(tensor)
    return tensor


def total_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Put into each gradient its sum over all processes. A collective."""
    if count() == 1:
        return
    by_dtype: dict[torch.dtype, list[torch.Tensor]] = {}
    for parameter in parameters:
        if parameter.grad is not None:
            by_dtype.setdefault(parameter.grad.dtype, []).append(parameter.grad)
    for gradients in by_dtype.values():
        flat = total(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]),
                                  strict=True):
            gradient.copy_(part.view_as(gradient))
