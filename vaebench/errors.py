"""What a user can mend. The command line prints these as one line, without a traceback."""

import re
from pathlib import Path


class UserError(Exception):
    """What is wrong, where, and what to do, in one line."""


class DamagedFileError(UserError):
    """A file that is missing, torn or altered, and that can be made again. fault: what is wrong with it."""

    def __init__(self, path: Path, fault: str, remedy: str):
        super().__init__(f"{path}: {fault}; {remedy}")
        self.path = path
        self.fault = fault


def without_credentials(text: str) -> str:
    """The same text, without the names and passwords that stand in addresses before an @."""
    return re.sub(r"(?<=://)\S*@", "", text)
