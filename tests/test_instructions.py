"""torch computes with the instructions that are asked for, and results of each kind have a name."""

import os

import pytest
import torch

from unfreeze import instructions
from unfreeze.errors import UserError
from unfreeze.training import arithmetic, devices

ON_X86 = os.uname().machine == "x86_64" and instructions._has_avx2()


@pytest.fixture
def variables(monkeypatch):
    """None is set."""
    for name in ("UNFREEZE_INSTRUCTIONS", "DNNL_MAX_CPU_ISA", *instructions.VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UNFREEZE_DEVICE", "cpu")
    monkeypatch.delenv("UNFREEZE_PRECISION", raising=False)
    return monkeypatch


@pytest.mark.skipif(not ON_X86, reason="for processors with AVX2")
def test_avx2_unless_told_otherwise(variables):
    instructions.choose()
    assert {name: os.environ.get(name) for name in instructions.VARIABLES} == (
        instructions.VARIABLES)
    assert instructions.name() == "avx2"
    assert arithmetic.without_torch() == devices.pick().arithmetic == "cpu-fp32-avx2"


def test_native(variables):
    variables.setenv("UNFREEZE_INSTRUCTIONS", "native")
    instructions.choose()
    assert not instructions.VARIABLES.keys() & os.environ.keys()
    assert arithmetic.without_torch() == devices.pick().arithmetic == "cpu-fp32-native"


def test_another_processor_computes_with_what_it_has(variables):
    variables.setattr(instructions, "_has_avx2", lambda: False)
    instructions.choose()
    assert instructions.name() == "native"


@pytest.mark.skipif(not ON_X86, reason="for processors with AVX2")
@pytest.mark.parametrize("name, value, known_as", [
    ("ATEN_CPU_CAPABILITY", "avx512", "avx512+avx2+avx2"),
    ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE", "avx2+avx512_core+avx2"),
    ("DNNL_MAX_CPU_ISA", "ALL", "avx2+all+avx2"),
    ("MKL_ENABLE_INSTRUCTIONS", "AVX512", "avx2+avx2+avx512"),
    ("MKL_ENABLE_INSTRUCTIONS", "AVX2", "avx2"),
])
def test_what_a_user_has_set_stays_and_is_named(variables, name, value, known_as):
    variables.setenv(name, value)
    instructions.choose()
    assert os.environ[name] == value and instructions.name() == known_as


def test_what_is_not_allowed_is_said(variables):
    variables.setenv("UNFREEZE_INSTRUCTIONS", "sse")
    instructions.choose()
    with pytest.raises(UserError, match="UNFREEZE_INSTRUCTIONS=sse: allowed are avx2, native"):
        arithmetic.without_torch()


@pytest.mark.skipif(not ON_X86, reason="for processors with AVX2")
def test_torch_that_has_computed_before_is_noticed(variables):
    instructions.choose()
    variables.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    with pytest.raises(UserError, match="has computed with AVX512 already; import unfreeze before"):
        devices.pick()
