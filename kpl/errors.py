"""The one exception that a user's input can cause, and what is said of input that is odd but usable."""

import logging

MOST_WARNINGS = 20


class BadInput(ValueError):
    """Input that the suite cannot use: one sentence that names the file or the sample, and the remedy."""


def warn(problems: list[str]) -> None:
    """Log each problem as a warning; of many, the first ones."""
    rest = [f"... and {len(problems) - MOST_WARNINGS} more like these."] if len(problems) > MOST_WARNINGS else []
    for problem in problems[:MOST_WARNINGS] + rest:
        logging.getLogger("kpl").warning("%s", problem)
