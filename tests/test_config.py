import pytest

from kpl import config
from kpl.errors import BadInput

GOOD = {"faces": "a", "runs": "b", "oof": "c", "copies": True}


def test_values_become_a_frozen_config():
    made = config.checked(config.Oof, GOOD)
    assert (made.faces, made.oof) == ("a", "c")
    with pytest.raises(AttributeError):
        made.faces = "other"


def test_an_unknown_injected_parameter_is_refused_and_the_known_ones_named():
    namespace = GOOD | {"fases": "x", "In": ["", "faces = 'a'", "# Parameters\nfases = 'x'\n"]}
    with pytest.raises(BadInput, match="fases.*faces, runs, oof"):
        config.from_notebook(config.Oof, namespace)


def test_other_names_of_a_notebook_do_not_disturb():
    """A person who runs cells again has many names around; only injected ones are parameters."""
    namespace = GOOD | {"history": 3, "In": ["", "faces = 'a'", "history = 3"]}
    assert config.from_notebook(config.Oof, namespace).runs == "b"


def test_a_missing_parameter_is_named():
    with pytest.raises(BadInput, match="'oof' is missing"):
        config.checked(config.Oof, {"faces": "a", "runs": "b", "copies": True})


@pytest.mark.parametrize("value, words", [("false", "True or False"), (1, "must be bool")])
def test_a_truthy_text_is_no_flag(value, words):
    with pytest.raises(BadInput, match=words):
        config._typed("augment", bool, value)


def test_numbers_as_papermill_reads_them():
    assert config._typed("epochs", int, 1e3) == 1000
    assert isinstance(config._typed("lr", float, 1), float)
    for expected, value in ((int, 1.5), (int, True), (float, "1e-3"), (str, 5)):
        with pytest.raises(BadInput, match="must be"):
            config._typed("x", expected, value)


def test_relative_paths_are_taken_from_the_project_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config.path("output") == config.ROOT / "output"
    assert config.path(str(tmp_path)) == tmp_path
