"""The device, its precision, and what makes it deterministic."""

import ctypes
import os
import platform
import resource
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from unfreeze import environment, instructions
from unfreeze.errors import UserError
from unfreeze.training import arithmetic
from unfreeze.training.together import launch, reduce


@dataclass(frozen=True)
class Device:
    """Where a run trains.

    Attributes:
        torch: the device.
        precision: of matrix products and convolutions: "bf16" (under autocast), "tf32" (products
            of 10 bits, on a GPU) or "fp32".
        name: of the hardware, for cost.json.
    """

    torch: torch.device
    precision: str
    name: str

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.torch.type, dtype=torch.bfloat16,
                              enabled=self.precision == "bf16")

    @property
    def arithmetic(self) -> str:
        """What decides the last bits of a replicate besides its recipe, as the scratch folder names
        it; see arithmetic.py."""
        return arithmetic.name(self.torch.type, self.precision, reduce.count())

    @property
    def memory(self) -> int:
        """Bytes that the device has in all."""
        if self.torch.type == "cuda":
            return torch.cuda.get_device_properties(self.torch).total_memory
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    def synchronize(self) -> None:
        if self.torch.type == "cuda":
            torch.cuda.synchronize(self.torch)

    def clock(self) -> float:
        """Seconds, of which differences count: of processor time, all threads together, which does
        not grow where other programs run; on a GPU of time, once it has done all that it was given.
        """
        self.synchronize()
        return time.perf_counter() if self.torch.type == "cuda" else time.process_time()

    def free_memory(self) -> None:
        """Give back what nothing holds any more."""
        if self.torch.type == "cuda":
            torch.cuda.empty_cache()

    def reset_peak_memory(self) -> None:
        """Let `peak_memory` begin anew: a process may train one replicate after another."""
        if self.torch.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.torch)
            return
        if platform.libc_ver()[0] == "glibc":
            ctypes.CDLL(None).malloc_trim(0)  # what `_keep_memory` has kept of the one before
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # VmHWM, as of Linux's proc(5)

    def peak_memory(self) -> int:
        """Bytes: allocated on the GPU, or resident in the process on a CPU."""
        if self.torch.type == "cuda":
            return torch.cuda.max_memory_allocated(self.torch)
        with suppress(OSError):
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def wanted() -> torch.device:
    """The kind of device that the environment names, or the best there is."""
    name = environment.device_name()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def pick() -> Device:
    """The device that the environment names, or the best there is; deterministic from then on. Each
    of several processes has a GPU of its own.

    Raises:
        UserError: the environment names a device that is not there, a precision that it has not,
            or more processes than there are GPUs.
    """
    device = wanted()
    if device.type == "cuda" and reduce.count() > 1:
        if device.index is not None:
            raise UserError(f"UNFREEZE_DEVICE={device}: is one GPU, and each of "
                            f"{reduce.count()} processes needs its own; set it to cuda")
        device = torch.device("cuda", launch.device_index(torch.cuda.device_count()))
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"UNFREEZE_DEVICE={device}: there are {torch.cuda.device_count()} CUDA "
                        "devices here; unset it, or name one that exists")
    precision = environment.precision()
    if precision == "tf32" and not (device.type == "cuda" and _has_bf16(device)):
        raise UserError("UNFREEZE_PRECISION=tf32: is for NVIDIA GPUs from Ampere on, and this "
                        f"device is {_name(device)}; allowed are auto, bf16, fp32")
    if precision == "auto":
        precision = "bf16" if device.type == "cuda" and _has_bf16(device) else "fp32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    _make_deterministic()
    if device.type == "cpu":
        _check_instructions()
        _keep_memory()
    return Device(device, precision, _name(device))


def set_threads(count: int) -> None:
    """Compute with that many threads on the processor from now on, however many cores there are and
    whatever the environment says: the last bits of a product depend on it.

    Raises:
        UserError: the environment allows fewer.
    """
    torch.set_num_threads(count)  # MKL then does not take fewer of its own accord
    openmp = ctypes.CDLL(None)
    try:
        openmp.omp_set_dynamic(0)  # nor does OpenMP
        limit = openmp.omp_get_thread_limit()
    except AttributeError:
        return  # this torch has no OpenMP, and does as it is told
    if limit < count:
        raise UserError(f"OMP_THREAD_LIMIT={limit}: the recipe says threads: {count}, and another "
                        "number gives other results; unset it, or set threads in params.yaml")


def memory_is_full(error: RuntimeError) -> bool:
    """Whether an error of torch says that it got no memory. The last four are all that oneDNN and
    C++ say of it; oneDNN may mean something else, which it says again of half a batch."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in (
        "DefaultCPUAllocator: can't allocate memory", "CUDA error: out of memory",
        "CUBLAS_STATUS_ALLOC_FAILED", "could not create a primitive",
        "could not execute a primitive", "could not create a memory", "std::bad_alloc"))


def _has_bf16(device: torch.device) -> bool:
    """Whether bfloat16 runs in a GPU's hardware. On processors it is for those who ask for it:
    convolutions of small images, in threads as few as a recipe names, are slower in it."""
    return torch.cuda.get_device_capability(device) >= (8, 0)


def _check_instructions() -> None:
    """Raise UserError where torch computed before the package was imported, with others."""
    found = torch.backends.cpu.get_cpu_capability()
    if instructions.name() == "avx2" and found != "AVX2":
        raise UserError(f"UNFREEZE_INSTRUCTIONS=avx2: torch has computed with {found} already; "
                        "import unfreeze before torch, or set it to native")


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
        return f"{_times()}{torch.cuda.get_device_name(device)}"
    cpu = torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine()
    return f"{_times()}{cpu}"


def _times() -> str:
    return f"{reduce.count()} processes on " if reduce.count() > 1 else ""
