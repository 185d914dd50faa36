"""The device, its precision, and what makes it deterministic."""

import ctypes
import os
import platform
import resource
from dataclasses import dataclass

import torch

from unfreeze import environment
from unfreeze.errors import UserError


@dataclass(frozen=True)
class Device:
    """Where a run trains.

    Attributes:
        torch: the device.
        bf16: whether matrix products and convolutions run in bfloat16 under autocast.
        name: of the hardware, for cost.json.
    """

    torch: torch.device
    bf16: bool
    name: str

    @property
    def precision(self) -> str:
        return "bf16" if self.bf16 else "fp32"

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.torch.type, dtype=torch.bfloat16, enabled=self.bf16)

    @property
    def memory(self) -> int:
        """Bytes that the device has in all."""
        if self.torch.type == "cuda":
            return torch.cuda.get_device_properties(self.torch).total_memory
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    def synchronize(self) -> None:
        if self.torch.type == "cuda":
            torch.cuda.synchronize(self.torch)

    def reset_peak_memory(self) -> None:
        if self.torch.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.torch)

    def peak_memory(self) -> int:
        """Bytes: allocated on the GPU, or resident in the process on a CPU."""
        if self.torch.type == "cuda":
            return torch.cuda.max_memory_allocated(self.torch)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def pick() -> Device:
    """The device that the environment names, or the best there is; deterministic from then on.

    Raises:
        UserError: the environment names a device that is not there.
    """
    wanted = environment.device_name()
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"UNFREEZE_DEVICE={wanted}: there are {torch.cuda.device_count()} CUDA "
                        "devices here; unset it, or name one that exists")
    precision = environment.precision()
    bf16 = _has_bf16(device) if precision == "auto" else precision == "bf16"
    _make_deterministic()
    if device.type == "cpu":
        _keep_memory()
    return Device(device, bf16, _name(device))


def _has_bf16(device: torch.device) -> bool:
    """Whether bfloat16 runs in hardware; where it is emulated it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    features = torch.cpu.get_capabilities()
    return bool(features.get("avx512_bf16") or features.get("amx_bf16") or features.get("bf16"))


def _make_deterministic() -> None:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS's documented condition
    torch.use_deterministic_algorithms(True)
    # On by default with the line above, for finding code that reads memory before writing it; it
    # writes every new tensor twice and changes no result.
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    torch.set_flush_denormal(True)


def _keep_memory() -> None:
    """Ask glibc to keep freed activations instead of handing them back to the kernel, which
    would zero and map each of them again at every step."""
    if platform.libc_ver()[0] == "glibc":
        mmap_threshold, trim_threshold = -3, -1  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD of malloc.h
        libc = ctypes.CDLL(None)
        libc.mallopt(mmap_threshold, 1 << 30)
        libc.mallopt(trim_threshold, (1 << 31) - 1)


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpu = torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine()
    return f"{cpu}, {torch.get_num_threads()} threads"
