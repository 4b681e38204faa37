"""Choice of device, precision and strategy for training, and warnings where they are slow."""

from __future__ import annotations

import logging

import pytest
import torch

from her2core.errors import ConfigError
from her2core.training import hardware
from her2core.training.config import HardwareConfig


@pytest.mark.parametrize(
    ("can", "native"),
    [
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({"avx512_bf16": False, "avx2": True}, False),
        ({}, False),
    ],
)
def test_bfloat16_is_native_where_the_processor_says_so(monkeypatch, can, native):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: can)
    assert hardware.native_bfloat16() is native


def test_what_is_asked_for_is_done_and_told_where_it_is_slow(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(hardware, "native_bfloat16", lambda: False)
    with caplog.at_level(logging.WARNING, logger="her2core"):
        assert hardware.precision(HardwareConfig(accelerator="cpu")) == "32-true"
        assert not caplog.records
        assert hardware.precision(HardwareConfig(accelerator="cpu", precision="bf16-mixed")) == "bf16-mixed"
    assert "--set hardware.precision=32-true" in caplog.text
    caplog.clear()
    monkeypatch.setattr(hardware, "native_bfloat16", lambda: True)
    assert hardware.precision(HardwareConfig(accelerator="cpu", precision="bf16-mixed")) == "bf16-mixed"
    assert not caplog.records


def test_an_older_torch_is_asked_in_its_way(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert hardware.native_bfloat16() is True


def test_a_gpu_that_is_asked_for_is_not_replaced_in_silence(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert hardware.one_device(HardwareConfig()) == torch.device("cpu")
    with pytest.raises(ConfigError, match="a GPU"):
        hardware.one_device(HardwareConfig(accelerator="gpu"))


def test_devices_and_strategy():
    assert hardware.devices(HardwareConfig(accelerator="cpu")) == 1
    assert hardware.devices(HardwareConfig(accelerator="cpu", devices=3)) == 3
    spread = HardwareConfig(strategy="ddp")
    assert hardware.strategy(spread, frozen=True) == "ddp_find_unused_parameters_true"
    assert hardware.strategy(spread) == "ddp"
