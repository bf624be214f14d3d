import pytest

from kpl import config
from kpl.errors import BadInput

GOOD = {"faces": "a", "runs": "b", "oof": "c", "networks": ""}


def test_values_become_frozen_parameters_and_places_start_at_the_project_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = config.checked(config.Oof, GOOD | {"runs": str(tmp_path)})
    assert (made.faces, made.runs) == (config.ROOT / "a", tmp_path)
    with pytest.raises(ValueError, match="frozen"):
        made.faces = "other"


def test_an_unknown_injected_parameter_is_refused_and_the_known_ones_named():
    namespace = GOOD | {"fases": "x", "In": ["", "faces = 'a'", "# Parameters\nfases = 'x'\n"]}
    with pytest.raises(BadInput, match=r"fases.*faces, runs, oof"):
        config.from_notebook(config.Oof, namespace)


def test_other_names_of_a_notebook_do_not_disturb():
    """A person who runs cells again has many names around; only injected ones are parameters."""
    namespace = GOOD | {"history": 3, "In": ["", "faces = 'a'", "history = 3"]}
    assert config.from_notebook(config.Oof, namespace).runs == config.ROOT / "b"


def test_a_missing_parameter_is_named():
    with pytest.raises(BadInput, match="'oof' is missing"):
        config.checked(config.Oof, {name: value for name, value in GOOD.items() if name != "oof"})


def fold(**changes):
    return config.checked(config.TrainFold, config.defaults("02_train_fold") | changes)


@pytest.mark.parametrize(
    "given, meant",
    [
        ({"epochs": 1e3}, 1000),  # papermill reads 1e3 as a float
        ({"lr": "1e-5"}, 1e-5),  # and its -y leaves 1e-5 a text
        ({"lr": 1}, 1.0),
        ({"frozen": "false"}, False),  # its -p knows no small letters
        ({"name": 5}, "5"),
    ],
)
def test_values_as_papermill_hands_them_over(given, meant):
    ((name, _),) = given.items()
    found = getattr(fold(**given), name)
    assert found == meant and type(found) is type(meant)


@pytest.mark.parametrize(
    "given", [{"epochs": 1.5}, {"epochs": True}, {"lr": "fast"}, {"augment": "no way"}, {"lr": 0}, {"loss": "l3"}]
)
def test_what_a_parameter_may_not_be_is_one_sentence_that_names_it(given):
    ((name, value),) = given.items()
    with pytest.raises(BadInput) as said:
        fold(**given)
    assert str(said.value).startswith(f"parameter {name!r} is {value!r}: ") and "\n" not in str(said.value)


def test_the_defaults_of_every_notebook_are_its_parameters():
    models = [config.Preprocess, config.TrainFold, config.Oof, config.Stack, config.Submit]
    for file, model in zip(sorted(config.NOTEBOOKS.glob("0*.ipynb")), models, strict=True):
        assert set(config.defaults(file.stem)) == set(model.model_fields), file.stem
        config.checked(model, config.defaults(file.stem))
