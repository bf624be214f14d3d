"""Notebooks as they lie in the repository."""

import json

import pytest

from kpl.config import NOTEBOOKS


@pytest.mark.parametrize("file", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda file: file.stem)
def test_notebooks_are_stored_as_agreed(file):
    cells = [cell for cell in json.loads(file.read_text())["cells"] if cell["cell_type"] == "code"]
    assert sum("parameters" in cell["metadata"].get("tags", []) for cell in cells) == 1
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells)
    source = "".join("".join(cell["source"]) + "\n" for cell in cells)
    most = {"04_stack": 155, "05_submit": 150}.get(file.stem, 135)  # 04 shows two layers whole, 05 is the report too
    assert source.count("\n") <= most
