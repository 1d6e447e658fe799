"""The one exception a user may cause: scripts print its message and exit with 2, without a traceback."""


class UserError(Exception):
    """A mistake in the input: the message names what is wrong, where it stands, and the mend."""
