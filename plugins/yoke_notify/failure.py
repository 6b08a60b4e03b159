"""What every way to a person may end with."""


class FailedError(Exception):
    """A notice could not be told; the message says why and holds no secret."""
