"""The one exception that means: the user can mend this. The command line prints it as one line, without a traceback."""


class UserError(Exception):
    """What is wrong, where, and what to do, in one line."""
