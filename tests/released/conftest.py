"""Weights released from a tiny network: what they say is poor, how they behave is not."""

from pathlib import Path

import pytest

from kpl import captures, release


@pytest.fixture(scope="session")
def weights(tiny_runs, tiny_faces, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("released")
    release.make([tiny_runs / "small" / "fold0"], tiny_faces, "CC0-1.0", folder)
    return folder


@pytest.fixture(scope="session")
def triple(tiny_captures) -> list[str]:
    """The paths of one test sample's pictures, which lie on their side."""
    table = captures.find(tiny_captures)
    return table.loc[table["split"] == "test", ["view0", "view1", "view2"]].iloc[0].tolist()
