import pytest
import torch

from kpl.errors import BadInput
from kpl.training import engine


def test_auto_is_what_the_device_does_well(monkeypatch):
    assert engine.precision("auto", gpu=False) == "no"
    for has_bf16, expected in ((True, "bf16"), (False, "fp16")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: has_bf16)
        assert engine.precision("auto", gpu=True) == expected
    assert engine.precision("bf16", gpu=False) == "bf16" and engine.precision("fp32", gpu=True) == "no"


def test_fp16_without_a_gpu_is_refused():
    with pytest.raises(BadInput, match="needs a GPU"):
        engine.precision("fp16", gpu=False)


def test_a_tracker_that_is_not_installed_is_named(monkeypatch):
    assert engine.tracker("none") is None and engine.tracker("tensorboard") == "tensorboard"
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match="pip install mlflow"):
        engine.tracker("mlflow")
