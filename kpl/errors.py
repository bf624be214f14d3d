"""The one exception that a user's input can cause."""


class BadInput(ValueError):
    """Input that the suite cannot use: one sentence that names the file or the sample, and the remedy."""
