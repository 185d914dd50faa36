"""Which of a processor's instructions torch computes with.

Wider vectors (AVX-512) or others (bfloat16, AMX) add up in another order, so a model that is
trained with them is another one. With those of AVX2, which x86 processors have had since 2013,
newer ones make the same bytes as older ones. Other processors compute with all that they have.

torch and its libraries ask the environment when they first compute; so this is set when the package
is imported, before anything in it imports torch. What a user has set in these variables stays.
"""

import os
import re
from contextlib import suppress

# torch's own kernels; oneDNN, convolutions for the most part; MKL, matrix products.
VARIABLES = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2",
             "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
_OLDER = {"ONEDNN_MAX_CPU_ISA": "DNNL_MAX_CPU_ISA"}  # another name of the same
_READ = 1 << 14  # bytes of a list of all processors, in which the first one's are


def choose() -> None:
    """Let torch compute with what UNFREEZE_INSTRUCTIONS says, unless it has computed already."""
    wanted = os.environ.get("UNFREEZE_INSTRUCTIONS") or "avx2"
    if wanted == "avx2" and _has_avx2():
        for variable, value in VARIABLES.items():
            if _OLDER.get(variable, variable) not in os.environ:
                os.environ.setdefault(variable, value)


def name() -> str:
    """Of the instructions: avx2, native, or the values of VARIABLES where a user set others."""
    values = [os.environ.get(variable) or os.environ.get(_OLDER.get(variable, variable)) or "native"
              for variable in VARIABLES]
    values = [re.sub(r"[^a-z0-9_]", "_", value.lower()) for value in values]
    return values[0] if len(set(values)) == 1 else "+".join(values)


def _has_avx2() -> bool:
    if os.uname().machine != "x86_64":
        return False
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as processors:
        return " avx2 " in processors.read(_READ)
    return True  # no Linux: systems for which there is torch need such a processor themselves
