"""Reading an experiment file, and saying what is wrong with one: file, key, value met, what is allowed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from vaebench.errors import UserError

Location = tuple[int | str, ...]


def read(path: Path) -> dict[str, Any]:
    """The file as plain Python. Raises UserError where it is missing, no YAML, no mapping, or holds a key twice."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError as error:
        known = sorted(file.stem for file in path.parent.glob("*.yaml"))
        raise UserError(f"{path}: no such file{nearest(path.stem, known)}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: no valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: must be a mapping of keys to values, not {content!r}")
    return content


class _Loader(yaml.SafeLoader):
    """Safe YAML, with `1e-3` a number as in YAML 1.2 (PyYAML reads a string), and a key given twice an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: dict[Any, yaml.Mark] = {}
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str | int | float | bool) and key in seen:
                lines = f"lines {seen[key].line + 1} and {key_node.start_mark.line + 1}"
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice ({lines})")
            if key_node.tag != "tag:yaml.org,2002:merge":
                seen[key] = key_node.start_mark
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+"), list("-+.0123456789")
)


def describe(path: Path, error: ValidationError, allowed_at: Callable[[Location], tuple[Location, Collection[str]]]) -> str:
    """One line a mistake.

    allowed_at: a mistake's location in the schema -> where that is in the file, and the keys or names allowed there.
    """
    lines = []
    for mistake in error.errors():
        location, allowed = allowed_at(mistake["loc"])
        key = ".".join(map(str, location))
        lines.append(f"{path}: {key + ': ' if key else ''}{_message(mistake, allowed)}")
    return "\n".join(dict.fromkeys(lines))


def _message(mistake: dict[str, Any], allowed: Collection[str]) -> str:
    met = mistake["input"]
    match mistake["type"]:
        case "extra_forbidden" | "unexpected_keyword_argument":
            return f"no such key{nearest(str(mistake['loc'][-1]), allowed)}"
        case "missing":
            return "is missing"
        case "union_tag_invalid":
            tag = mistake["ctx"]["tag"]
            return f"{tag!r} is not known{nearest(tag, allowed)}"
        case "literal_error":
            expected = re.findall(r"'([^']*)'", mistake["ctx"]["expected"])
            return f"{met!r} is not known{nearest(str(met), expected)}"
        case "union_tag_not_found":
            return f"{met!r} does not say its {mistake['ctx']['discriminator']}{nearest('', allowed)}"
        case "value_error":
            return str(mistake["ctx"]["error"])
        case _:
            return f"{mistake['msg'].replace('Input should', 'must')}, not {met!r}"


def nearest(met: str, allowed: Collection[str]) -> str:
    """For the end of a message: the nearest spelling, and everything that is allowed."""
    if not allowed:
        return ""
    close = difflib.get_close_matches(met, allowed, n=1)
    guess = f"; did you mean {close[0]!r}?" if close else ";"
    return f"{guess} allowed: {', '.join(allowed)}"
