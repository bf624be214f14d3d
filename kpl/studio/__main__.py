"""`python -m kpl.studio`: make a data set of synthetic three-view captures, or check one."""

import argparse
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from joblib import cpu_count

from kpl.config import path
from kpl.errors import BadInput
from kpl.files import no_room
from kpl.studio import captures
from kpl.studio.dataset import manifest
from kpl.studio.dataset.settings import ALL, PRESETS, Settings, settings_of
from kpl.studio.picture import devices

_DEFAULTS = Settings()
_FOLDERS = {"": "input/studio"} | {preset: f"input/studio_{preset}" for preset in PRESETS}
_CACHE = "input/.cache"
# Of each setting: what its option takes, and what it says.
_SETTINGS = {
    "train_subjects": (int, "people to train on"),
    "val_subjects": (int, "other people to validate on"),
    "test_subjects": (int, "other people, whose truth is kept apart in held_out/"),
    "expressions": (int, f"expressions a subject: 7 or {ALL}"),
    "subjects_with_all": (int, f"so many of the subjects have all {ALL} expressions"),
    "scale": (float, "picture size; 1 is 1280 x 720"),
    "seed": (int, "the same seed makes the same people"),
    "crop_size": (int, "side of the face crops of --preset crops, in pixels"),
    "label_noise": (float, "jitter of the training landmarks as scans have it: spread at the eyes, in eye distances"),
    "rig": (str, "where the side cameras stand: competition, about 28 degrees; free, anywhere; D; LEFT,RIGHT[,PITCH]"),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m kpl.studio",
        description="Make synthetic three-view captures of faces, in the competition's layout. A run that "
        "was interrupted goes on where it stopped; the same settings give the same bytes.",
    )
    parser.add_argument(
        "--preset",
        default="",
        metavar="NAME",
        help="competition: 854 subjects as the real data has them, full frames; crops: the same people as a store of "
        "face crops, ready for 02_train_fold. Other options win over it",
    )
    parser.add_argument(
        "--out", type=Path, help="folder of the data set (default: input/studio, input/studio_<preset>)"
    )
    for name, (kind, text) in _SETTINGS.items():
        shown = "256" if name == "crop_size" else getattr(_DEFAULTS, name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, help=f"{text} (default: {shown})")
    parser.add_argument(
        "--jobs",
        type=int,
        default=cpu_count(),
        help="processes; about 0.5 GB of memory each (default: %(default)s)",
    )
    parser.add_argument(
        "--device",
        choices=devices.CHOICES,
        default="cpu",
        help="where pictures are made; a GPU's differ from a CPU's in the last bits (default: %(default)s)",
    )
    parser.add_argument(
        "--shard", default="1/1", metavar="I/N", help="make every N-th subject, from the I-th: several of these, on any "
        "machines, share one folder; the last to end completes the set"
    )  # fmt: skip
    parser.add_argument("--verify", action="store_true", help="check every file of the data set in --out")
    parser.add_argument("--repair", action="store_true", help="check, and make again what is missing or damaged")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code is 0, or 1 or 2 after one sentence on standard error."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except BadInput as error:
        said, code = str(error), 2
    except BrokenProcessPool:
        said, code = "a process died, perhaps for want of memory: run again to go on, with fewer --jobs.", 1
    except OSError as error:
        said, code = _why(error), 1
    except KeyboardInterrupt:
        said, code = "interrupted; the same command goes on where it stopped.", 130
    print(f"kpl.studio: {said}", file=sys.stderr)
    return code


def _run(options: argparse.Namespace) -> int:
    if options.jobs < 1:
        raise BadInput(f"--jobs must be at least 1, not {options.jobs}.")
    given = {name: value for name in _SETTINGS if (value := getattr(options, name)) is not None}
    settings = settings_of(options.preset, given)
    root, cache = path(options.out or _FOLDERS[options.preset]), path(_CACHE)
    shard, device = _shard(options.shard), devices.choose(options.device)
    if options.verify or options.repair:
        return _verify(root, options, cache)
    if captures.make(root, settings, options.jobs, cache, shard, device):
        print(f"{root} holds {settings.samples} samples.")
    else:
        print(f"Shard {options.shard} is done; {root} is complete when the last shard is.")
    return 0


def _verify(root: Path, options: argparse.Namespace, cache: Path) -> int:
    if not captures.is_finished(root):
        captures.finish(root, captures.settings_in(root))  # the last shard may have been killed before it could
    damage = manifest.check(root, options.jobs)
    if options.repair and (damage.missing or damage.broken):
        captures.repair(root, damage, options.jobs, cache, devices.choose(options.device))
        damage = manifest.check(root, options.jobs)
    if not damage:
        print(f"{root} is complete and undamaged.")
        return 0
    remedies = ["--repair makes missing and damaged ones again"] if damage.missing or damage.broken else []
    remedies += ["delete unexpected ones"] if damage.unexpected else []
    print(f"kpl.studio: {root} is not as it was made: {damage}; {', '.join(remedies)}.", file=sys.stderr)
    return 1


def _shard(text: str) -> tuple[int, int]:
    parts = text.split("/")
    if len(parts) == 2 and all(part.isdecimal() for part in parts) and 1 <= int(parts[0]) <= int(parts[1]):
        return int(parts[0]), int(parts[1])
    raise BadInput(f"--shard must be I/N with 1 <= I <= N, like 2/8, not {text!r}.")


def _why(error: OSError) -> str:
    where = f"{error.filename} " if error.filename else ""
    if no_room(error):
        return f"the disk is full ({where}{error.strerror}): make room and run the same command again to go on."
    return f"{where}cannot be used ({error.strerror or error}): choose another folder or mend this one, and run again."


if __name__ == "__main__":
    sys.exit(main())
