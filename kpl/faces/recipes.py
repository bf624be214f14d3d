"""The ways of cutting faces out of pictures, by name."""

from dataclasses import dataclass, replace

from kpl.errors import BadInput

SMALLEST, LARGEST = 16, 2048  # crop sides


@dataclass(frozen=True)
class Recipe:
    """How faces are found and cut."""

    name: str
    detector: str  # "centerface", "retinaface", or "list": the boxes of the competition's list files
    cut: str  # "square", "aligned", "native", or "box": see kpl.faces.cutting
    size: int  # the crop's side in pixels

    @property
    def label(self) -> str:
        """The recipe's name, with the size appended where it is not the recipe's own: a folder's name."""
        return self.name if self.size == RECIPES[self.name].size else f"{self.name}_{self.size}"


RECIPES = {
    "centerface256": Recipe("centerface256", "centerface", "square", 256),
    "retinaface600": Recipe("retinaface600", "retinaface", "aligned", 600),
    # the competition's faces have 222 to 411 pixels
    "retinaface_raw": Recipe("retinaface_raw", "retinaface", "native", 512),
    "list256": Recipe("list256", "list", "box", 256),
}


def get(name: str, size: int = 0) -> Recipe:
    """The recipe called `name` with crops of `size` pixels, 0 for its own. Raises BadInput naming the known ones."""
    if name not in RECIPES:
        raise BadInput(f"recipe {name!r} is unknown: the known ones are {', '.join(RECIPES)}.")
    if size and not SMALLEST <= size <= LARGEST:
        raise BadInput(f"crop size {size} is not in {SMALLEST}..{LARGEST}: give pixels, or 0 for the recipe's own.")
    return replace(RECIPES[name], size=size or RECIPES[name].size)
