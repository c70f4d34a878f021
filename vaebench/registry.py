"""Named definitions: what an experiment file can ask for by name.

A definition is a frozen dataclass whose first field is its tag, a `Literal` with a default; its other fields are its
settings. Registering it under its tag is all that is needed: the specification validates its settings, the command line
lists it and the contract tests try it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable


class Registry(dict[str, type]):
    """Definitions by name.

    `what` is the word for a member in messages ("likelihood"), `tag` the field that holds the name ("kind").
    """

    def __init__(self, what: str, tag: str = "kind"):
        super().__init__()
        self.what = what
        self.tag = tag

    def register(self, definition: type) -> type:
        """Class decorator. Raises TypeError for what is no dataclass with the tag, ValueError for a name taken."""
        fields = {field.name: field for field in dataclasses.fields(definition)}
        if self.tag not in fields:
            raise TypeError(f"{definition.__name__} has no field {self.tag!r}, which names the {self.what}")
        name = fields[self.tag].default
        if name in self:
            raise ValueError(f"two {self.what}s are called {name!r}: {self[name].__name__}, {definition.__name__}")
        self[name] = definition
        return definition

    def with_defaults(self) -> list:
        """Of each definition whose settings may all be left out, one without any."""
        required = dataclasses.MISSING
        return [
            definition()
            for definition in self.values()
            if all(
                (field.default, field.default_factory) != (required, required) for field in dataclasses.fields(definition)
            )
        ]


def require(holds: bool, setting: str, value: object, allowed: str) -> None:
    """Raise ValueError with a message for the user unless the bound on a setting holds."""
    if not holds:
        raise ValueError(f"{setting} must be {allowed}, not {shown(value)}")


def shown(value: object, text_of: Callable[[object], str] = repr, most: int = 200) -> str:
    """A value that was met, for a message; of a long one, the beginning."""
    text = text_of(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"
