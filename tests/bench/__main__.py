"""`./run_all.sh bench NAME ...`: every benchmark is a module of this package with a function `main(arguments)`."""

import importlib
import pkgutil
import sys

import bench
from kpl.errors import BadInput

NAMES = sorted(
    name
    for _, name, _ in pkgutil.iter_modules(bench.__path__)
    if name not in ("__main__", "report") and "test_" not in name
)


def main(arguments: list[str]) -> int:
    """Run a benchmark; the exit code is 0, 1 after one sentence on standard error, or 2 if there is none of that name."""
    if not arguments or arguments[0] not in NAMES:
        print(f"usage: ./run_all.sh bench {{{','.join(NAMES)}}} [options]   (--help after a name shows its options)")
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    try:
        importlib.import_module(f"bench.{arguments[0]}").main(arguments[1:])
    except BadInput as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
