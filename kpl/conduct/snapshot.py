"""The data set may not change under a half-done run: all folds must have seen the same faces."""

import json
from pathlib import Path

from kpl.conduct.stages import StageFailed


def fingerprint(faces: Path) -> str:
    """What stands for the content of a finished store of faces."""
    try:
        return json.loads((faces / "done.json").read_text())["fingerprint"]
    except (OSError, ValueError, KeyError) as error:
        raise StageFailed(f"{faces} is damaged ({error}): delete it, and run the same command again.") from None


def refuse_other_faces(runs: Path, fingerprints: set[str]) -> None:
    """Raise StageFailed if some fold below `runs`, trained or half-trained, has seen other faces than these
    (one fingerprint a recipe)."""
    folds = sorted(file.parent for file in runs.glob("*/fold*/config.json"))
    others = [fold for fold in folds if json.loads((fold / "config.json").read_text()).get("store") not in fingerprints]
    if others:
        raise StageFailed(
            f"the captures, and so the faces, are not the ones that {len(others)} of {len(folds)} folds in {runs} were "
            f"trained on ({others[0].parent.name}/{others[0].name}, say): put the captures back to go on with those, "
            f"name another --output, or delete these folds to train them again."
        )
