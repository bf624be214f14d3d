"""The one exception that a user's input can cause, and what is said of input that is odd but usable."""

import logging

MOST_WARNINGS = 20


class BadInput(ValueError):
    """Input that the suite cannot use: one sentence that names the file or the sample, and the remedy."""


def warn(problems: list[str]) -> None:
    """Log each problem as a warning; of many, the first ones."""
    log = logging.getLogger("kpl")
    for problem in problems[:MOST_WARNINGS]:
        log.warning("%s", problem)
    if len(problems) > MOST_WARNINGS:
        log.warning("... and %d more like these.", len(problems) - MOST_WARNINGS)
