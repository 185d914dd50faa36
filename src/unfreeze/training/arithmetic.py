"""The kind of arithmetic that trains here: results of another kind differ in their last bits, so
the scratch folder keeps them apart."""

import os

from unfreeze import environment, instructions

# Of a GPU that CUDA or ROCm could use.
_GPU_FILES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


def name(device: str, precision: str, processes: int) -> str:
    """Its name.

    Args:
        device: "cpu" or "cuda". precision: as of `Device`. processes: that train a run together.
    """
    words = [device, precision]
    if device == "cpu":
        environment.instructions()  # raises where it is none that is allowed
        words.append(instructions.name())
    if processes > 1:
        words.append(str(processes))
    if environment.compiled() != "off":
        words.append(f"compiled-{environment.compiled()}")
    return "-".join(words)


def without_torch() -> str | None:
    """Its name, where that shows without torch, which takes seconds to import; None: it does not.
    Where it should be wrong nothing is found by it, and then torch is asked."""
    device, precision = environment.device_name(), environment.precision()
    together = environment.processes() > 1 or os.environ.get("WORLD_SIZE", "1") != "1"
    might_be_gpu = device != "cpu" and (device != "auto" or any(map(os.path.exists, _GPU_FILES)))
    if together or might_be_gpu or precision == "tf32":
        return None
    return name("cpu", "fp32" if precision == "auto" else precision, 1)
