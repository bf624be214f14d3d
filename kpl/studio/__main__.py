"""`python -m kpl.studio`: make a data set of synthetic three-view captures."""

import argparse
import os
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from kpl.config import path
from kpl.errors import BadInput
from kpl.studio import captures

_DEFAULTS = captures.Settings()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m kpl.studio",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        description="Make synthetic three-view captures of faces, in the competition's layout. A run that "
        "was interrupted goes on where it stopped; the same settings give the same bytes.",
    )
    parser.add_argument("--out", type=Path, default=Path("input/studio"), help="folder of the data set")
    parser.add_argument("--train-subjects", type=int, default=_DEFAULTS.train_subjects, help="people to train on")
    parser.add_argument(
        "--test-subjects",
        type=int,
        default=_DEFAULTS.test_subjects,
        help="other people, whose truth is kept apart in held_out/",
    )
    parser.add_argument("--expressions", type=int, default=_DEFAULTS.expressions, help="expressions a subject: 7 or 25")
    parser.add_argument("--scale", type=float, default=_DEFAULTS.scale, help="picture size; 1 is 1280 x 720")
    parser.add_argument("--seed", type=int, default=_DEFAULTS.seed, help="the same seed makes the same people")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes; about 0.5 GB of memory each")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code is 0, or 1 or 2 after one sentence on standard error."""
    options = _parser().parse_args(arguments)
    try:
        if options.jobs < 1:
            raise BadInput(f"--jobs must be at least 1, not {options.jobs}.")
        settings = captures.Settings(
            options.train_subjects, options.test_subjects, options.expressions, options.scale, options.seed
        )
        captures.make(path(options.out), settings, options.jobs, cache=path("input/.cache"))
    except BadInput as error:
        print(f"kpl.studio: {error}", file=sys.stderr)
        return 2
    except BrokenProcessPool:
        print(
            "kpl.studio: a process died, perhaps for want of memory: run again to go on, with fewer --jobs.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("kpl.studio: interrupted; the same command goes on where it stopped.", file=sys.stderr)
        return 130
    print(f"{path(options.out)} holds {settings.samples} samples.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
