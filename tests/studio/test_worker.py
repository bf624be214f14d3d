"""Damaged caches: the anatomy is built again, kernels are compiled again, or one sentence names the folder."""

import pytest

from kpl.errors import BadInput
from kpl.studio import worker
from kpl.studio.body import loader, reference


def test_a_damaged_anatomy_is_built_again(anatomy, tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "build", lambda: anatomy)
    loader.load(tmp_path)
    (file,) = tmp_path.glob("anatomy_*.npz")
    whole = file.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole[:-400] + bytes(300) + whole[-100:]):
        file.write_bytes(damaged)
        assert loader.load(tmp_path).label_list == anatomy.label_list
        assert file.read_bytes() == whole


@pytest.mark.parametrize("failures", [1, 2])
def test_kernels_that_do_not_load_are_compiled_once_more(tmp_path, monkeypatch, failures):
    (tmp_path / "warp").mkdir()
    (tmp_path / "warp/kernel.o").write_bytes(b"damaged")
    left = [Exception("Failed to load CPU module")] * failures

    def load(*_, **__):
        if left:
            raise left.pop()

    monkeypatch.setattr(worker.wp, "load_module", load)
    if failures == 2:
        with pytest.raises(BadInput, match=r"warp .*Failed to load.*: delete that folder"):
            worker._load_kernels(tmp_path / "warp", "cpu")
    else:
        worker._load_kernels(tmp_path / "warp", "cpu")
    assert not (tmp_path / "warp").exists()
