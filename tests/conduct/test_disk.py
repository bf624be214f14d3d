"""A disk that is full, or must not be written to, is said in one sentence."""

import subprocess
import sys

import pytest

from kpl.conduct import disk

LIMITED = """
import resource, sys
from pathlib import Path
from kpl.conduct import disk
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
print(disk.why_unwritable(Path(sys.argv[1])))
"""


def test_a_folder_that_can_be_written_to_is_made_and_left_empty(tmp_path):
    assert disk.why_unwritable(tmp_path / "new" / "output") == ""
    assert list((tmp_path / "new" / "output").iterdir()) == []


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").touch()
    assert disk.why_unwritable(tmp_path / "file" / "output").endswith("name another folder with --output.")


def test_no_room_names_the_disk_and_what_is_free(tmp_path):
    found = subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "cannot be written to (File too large)" in found.stdout and "free; make room" in found.stdout


@pytest.mark.parametrize("count, text", [(12, "12 bytes"), (1_234, "1.2 kB"), (56e6, "56.0 MB"), (7.8e12, "7.8 TB")])
def test_sizes_in_words(count, text):
    assert disk.size(count) == text
