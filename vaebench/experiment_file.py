"""Reading an experiment file, and saying what is wrong with one: file, key, value met, what is allowed.

A file may extend another of its folder: it then starts from that file's keys.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import InitErrorDetails

from vaebench.errors import UserError

Location = tuple[int | str, ...]
Content = dict[str, Any]

NAME_RULE = "small letters, digits, '-' and '.' only, first a letter or digit"
# The keys whose own keys are taken over one by one from the file that is extended; any other is replaced as a whole.
MERGED = ("defaults", "evaluation")


def is_name(value: Any) -> bool:
    """Whether a value can name a file or a folder."""
    return isinstance(value, str) and re.fullmatch(r"[a-z0-9][a-z0-9.-]*", value) is not None


def read(path: Path) -> dict[Path, Content]:
    """The file as plain Python, then the one that it extends, and so on.

    Raises UserError where one of them is missing, no YAML, no mapping, holds a key twice, or extends itself.
    """
    files = {path: _content(path, path)}
    file = path
    while (base := files[file].get("extends")) is not None:
        if not is_name(base):
            raise UserError(f"{_place(file, path)}: extends: {base!r} is no name: {NAME_RULE}")
        file = path.with_name(f"{base}.yaml")
        if file in files:
            circle = " → ".join([*(each.stem for each in files), base])
            raise UserError(f"{path}: extends: goes round in a circle: {circle}")
        files[file] = _content(file, path)
    return files


def merged(files: Mapping[Path, Content]) -> Content:
    """What `read` gave as one file: each file's keys over those of the file that it extends."""
    return reduce(_over, files.values())


def _over(content: Content, base: Content) -> Content:
    both = {key: base[key] | content[key] for key in MERGED if _are_mappings(base.get(key), content.get(key))}
    return base | content | both


def _are_mappings(*values: Any) -> bool:
    return all(isinstance(value, dict) for value in values)


def place(files: Mapping[Path, Content], location: Location) -> str:
    """The start of a message: the file that was asked for and, where what stands at a location is another's, that one."""
    path = next(iter(files))
    keys = location[: 2 if location and location[0] in MERGED else 1]
    return _place(next((file for file, content in files.items() if _holds(content, keys)), path), path)


def _place(file: Path, path: Path) -> str:
    return str(path) if file == path else f"{path}: {file.name}, which it extends"


def _holds(content: Any, keys: Location) -> bool:
    return not keys or (isinstance(content, dict) and keys[0] in content and _holds(content[keys[0]], keys[1:]))


def _content(file: Path, path: Path) -> Content:
    """One file as plain Python; `path` is the file that was asked for."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        known = sorted(other.stem for other in file.parent.glob("[!.]*.yaml") if other != path)
        raise UserError(f"{_place(file, path)}: no such file{nearest(file.stem, known)}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{_place(file, path)}: cannot be read ({error})") from error
    content = parse(text, _place(file, path))
    if not isinstance(content, dict):
        raise UserError(f"{_place(file, path)}: must be a mapping of keys to values, not {content!r}")
    return content


def parse(text: str, start: str) -> Any:
    """YAML as plain Python. Raises UserError, whose message begins with `start`, for what is none or holds a key twice."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise UserError(f"{start}: no valid YAML: {' '.join(str(error).split())}") from error


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


class Mistakes:
    """What is wrong, to be raised together by a validator."""

    def __init__(self):
        self._found: list[InitErrorDetails] = []

    def add(self, message: str, *location: str) -> None:
        """location: from where the validator stands."""
        self._found.append({"type": "value_error", "loc": location, "input": None, "ctx": {"error": message}})

    @contextmanager
    def collected(self) -> Iterator[None]:
        """What is raised within the block is added."""
        try:
            yield
        except ValidationError as error:
            known = ("type", "loc", "input", "ctx")
            self._found += [{key: each[key] for key in known if key in each} for each in error.errors()]

    def raise_any(self) -> None:
        """Raises ValidationError unless all is well."""
        if self._found:
            raise ValidationError.from_exception_data("experiment", self._found)


def describe(
    error: ValidationError,
    allowed_at: Callable[[Location], tuple[Location, Collection[str]]],
    place_of: Callable[[Location], str] = lambda location: "",
) -> str:
    """One line a mistake.

    allowed_at: a mistake's location in the schema -> where that is in the file, and the keys or names allowed there.
    place_of: where that is in the file -> the start of the line.
    """
    lines = []
    for mistake in error.errors():
        location, allowed = allowed_at(mistake["loc"])
        parts = [place_of(location), ".".join(map(str, location)), _message(mistake, allowed)]
        lines.append(": ".join(part for part in parts if part))
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
            # pydantic speaks of JSON, the file is YAML.
            message = mistake["msg"].replace("a valid array", "a list").replace("an object", "a mapping")
            return f"{message.replace('Input should', 'must')}, not {met!r}"


def nearest(met: str, allowed: Collection[str]) -> str:
    """For the end of a message: the nearest spelling, and everything that is allowed."""
    if not allowed:
        return ""
    close = difflib.get_close_matches(met, allowed, n=1)
    guess = f"; did you mean {close[0]!r}?" if close else ";"
    return f"{guess} allowed: {', '.join(allowed)}"
