"""The kernels on a GPU: refused where there is none, and equal to the CPU's where there is one."""

import numpy as np
import pytest
import warp as wp

from kpl.errors import BadInput
from kpl.studio import worker
from kpl.studio.picture import devices, sensor

from ..conftest import CACHE, run_studio

devices.start_warp()
needs_gpu = pytest.mark.skipif(not wp.is_cuda_available(), reason="no CUDA device")
without_gpu = pytest.mark.skipif(wp.is_cuda_available(), reason="there is a CUDA device")


def test_the_cpu_is_always_there():
    assert devices.choose("cpu") == "cpu"


@without_gpu
def test_auto_takes_the_cpu_where_there_is_no_gpu():
    assert devices.choose("auto") == "cpu"


@without_gpu
def test_a_gpu_that_is_not_there_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(BadInput, match="CUDA"):
        devices.choose("cuda")
    result = run_studio(tmp_path / "set", "--device", "cuda")
    assert result.returncode == 2 and not (tmp_path / "set").exists()
    assert result.stderr.count("\n") == 1 and "--device cpu" in result.stderr


@needs_gpu
def test_a_gpus_pictures_are_the_cpus(monkeypatch):
    """Before they become JPEG files, whose steps can be wider."""
    make, pictures = sensor.pixel_values, []
    monkeypatch.setattr(sensor, "pixel_values", lambda *given: pictures.append(make(*given)) or pictures[-1])
    for device in ("cpu", "cuda:0"):
        worker.open_studio(CACHE, 0.5, device).sit(3, 2).portray("04")
    for on_cpu, on_gpu in zip(pictures[:3], pictures[3:], strict=True):
        apart = np.abs(on_cpu.astype(int) - on_gpu).max(axis=2)
        assert (apart <= 1).mean() >= 0.999
