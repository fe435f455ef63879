"""What is wrong with a file."""


class DataError(Exception):
    """What is wrong with a file or an option, in words: which file, which row, what is legal."""
