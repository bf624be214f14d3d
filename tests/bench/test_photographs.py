"""`bench photographs`: changed pictures against untouched ones."""

import pandas as pd
import pytest

from bench import photographs
from kpl import captures
from kpl.errors import BadInput


@pytest.mark.slow
def test_every_change_is_asked_about_and_compared_with_the_untouched(tiny_captures, tmp_path, monkeypatch):
    every = photographs.changes
    asked = ("untouched", "exchanged", "the middle one alone", "15 % cut off: left")
    monkeypatch.setattr(photographs, "changes", lambda *read: {name: every(*read)[name] for name in asked})
    with pytest.raises(BadInput, match="needs three test subjects"):
        photographs.main(["--captures", str(tiny_captures)])
    truth = captures.truth(tiny_captures)
    table = captures.find(tiny_captures)
    monkeypatch.setattr(captures, "find", lambda root: table[table["split"] == "train"])
    monkeypatch.setattr(captures, "truth", lambda root: truth)
    photographs.main(["--captures", str(tiny_captures), "--out", str(tmp_path / "found.csv")])
    found = pd.read_csv(tmp_path / "found.csv", comment="#").set_index("change")
    assert list(found.index) == list(asked) and found.loc["untouched", "ratio"] == 1
    assert found.loc["exchanged", "ratio"] == pytest.approx(1, abs=0.02) and found.loc["exchanged", "warned"] == 1
    assert found.loc["the middle one alone", "spread"] > found.loc["untouched", "spread"]
    assert 1 < found.loc["15 % cut off: left", "ratio"] < 2
