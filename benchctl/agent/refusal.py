"""The one error that an operation answers with; everything else is a defect and reported as internal.

Owns the kinds that the controller maps to its own errors.
"""


class RefusalError(Exception):
    """What could not be done, of which kind, and the last lines of the log that says more."""

    def __init__(self, message: str, kind: str = "usage", log: str = "") -> None:
        """Take one of the kinds usage, service, task, lease, late, unfit or internal."""
        super().__init__(message)
        self.kind = kind
        self.log = log
