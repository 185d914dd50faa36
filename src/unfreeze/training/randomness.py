"""Counter-based randomness: what is random in an epoch is a function of (seed, epoch, purpose).

No state is carried from one epoch to the next, so a run resumed at the start of an epoch continues
bit for bit as if it had never stopped.
"""

import hashlib

import torch


def counter(*key: object) -> int:
    """A 63-bit seed that is as good as independent for every different key."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(*key: object) -> torch.Generator:
    """A CPU generator for that key: the same numbers on every device."""
    return torch.Generator().manual_seed(counter(*key))


def state(device: torch.device) -> tuple[torch.Tensor, ...]:
    """Of torch's own generators, which layers draw from: the CPU's, and a GPU's."""
    of_cpu = (torch.get_rng_state(),)
    return (*of_cpu, torch.cuda.get_rng_state(device)) if device.type == "cuda" else of_cpu


def restore(state: tuple[torch.Tensor, ...], device: torch.device) -> None:
    """Let torch's generators draw once more what they drew after `state`."""
    torch.set_rng_state(state[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state[1], device)
