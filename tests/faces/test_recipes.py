import pytest

from kpl.errors import BadInput
from kpl.faces import recipes


def test_a_recipe_has_its_own_size_or_another():
    assert recipes.get("centerface256").size == 256 and recipes.get("centerface256").label == "centerface256"
    assert (
        recipes.get("retinaface600", 528).size == 528 and recipes.get("retinaface600", 528).label == "retinaface600_528"
    )
    assert recipes.get("list256", 256).label == "list256"


def test_unknown_names_and_sizes_are_refused():
    with pytest.raises(BadInput, match="known ones are centerface256, retinaface600, retinaface_raw, list256"):
        recipes.get("centerface_256")
    for size in (-1, 15, 2049):
        with pytest.raises(BadInput, match="is not in 16..2048"):
            recipes.get("centerface256", size)
