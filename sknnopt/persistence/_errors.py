"""What is wrong with a file."""


class FileFormatError(ValueError):
    """The file is not one that :func:`sknnopt.save` has written, or one of another version of the format."""


def require(condition: object, message: str) -> None:
    """Raise the error with this message, unless the condition holds."""
    if not condition:
        raise FileFormatError(message)
