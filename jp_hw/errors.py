"""Errors that a user can cause, and can mend."""


class JpHwError(Exception):
    """One line that names what is wrong and the way out; the CLI prints it and exits with code 2."""
