import pytest
import torch

from bench import memory
from kpl.errors import BadInput


def test_without_a_gpu_it_says_so():
    if torch.cuda.is_available():
        peak, seconds = memory.measured("resnet10t", 64, 2)
        assert 0 < peak < 4 and seconds > 0
    else:
        with pytest.raises(BadInput, match="this machine has none"):
            memory.main([])
