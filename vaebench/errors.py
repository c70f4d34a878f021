"""The one exception that means: the user can mend this. The command line prints it as one line, without a traceback."""

import re


class UserError(Exception):
    """What is wrong, where, and what to do, in one line."""


def without_credentials(text: str) -> str:
    """The same text, without the names and passwords that stand in addresses before an @."""
    return re.sub(r"(?<=://)\S*@", "", text)
