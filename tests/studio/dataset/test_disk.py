"""Disk use is told before anything is written, and too small a disk is refused."""

from collections import namedtuple

import pytest

from kpl.errors import BadInput
from kpl.studio import captures
from kpl.studio.dataset import disk
from kpl.studio.dataset.settings import Settings, settings_of

Usage = namedtuple("Usage", "total used free")


def test_what_is_needed_grows_with_the_pictures_and_shrinks_with_what_is_there():
    full, crops = (disk.needed(settings_of(preset, {})) / 1e9 for preset in ("competition", "crops"))
    assert 3 < full < 5 and 5 < crops < 7
    small = Settings(train_subjects=60)
    assert disk.needed(small) < disk.needed(Settings(train_subjects=60, scale=0.8)) / 2
    assert disk.needed(small, set(small.numbers[:38])) < 0.6 * disk.needed(small)


def test_a_disk_that_is_too_small_ends_it_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda place: Usage(10**9, 0, 10**9))
    with pytest.raises(BadInput, match=r"needs about .* GB .* and 1\.0 GB are free: make room"):
        captures.make(tmp_path / "new/captures", settings_of("competition", {}), 1, tmp_path)
    assert not (tmp_path / "new").exists()


def test_the_need_is_told(tmp_path, capsys):
    disk.tell(tmp_path / "not/yet/there", Settings(), set())
    assert "for 952 samples of 136 subjects" in capsys.readouterr().err
