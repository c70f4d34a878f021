"""Reading an experiment file, and saying what is wrong with one: file, key, value met, what is allowed.

A file may extend another of its folder: it then starts from that file's keys.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from itertools import chain
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import InitErrorDetails

from vaebench.errors import UserError
from vaebench.registry import shown

Location = tuple[int | str, ...]
Content = dict[str, Any]

# With what is put behind it, a name stays below the 255 bytes that file systems allow.
NAME_RULE = "small letters, digits, '-' and '.' only, first a letter or digit, last no '.', 100 at most"
# What no experiment needs: a file of more would take minutes, or all memory, before its mistakes could be named.
MOST_BYTES = 200_000
MOST_VALUES = 10_000  # with those behind aliases, each time that they are named
MOST_LEVELS = 20
# The keys whose own keys are taken over one by one from the file that is extended; any other is replaced as a whole.
MERGED = ("defaults", "evaluation")


def is_name(value: Any) -> bool:
    """Whether a value can name a file or a folder."""
    return isinstance(value, str) and re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,98}[a-z0-9-])?", value) is not None


def read(path: Path) -> dict[Path, Content]:
    """The file as plain Python, then the one that it extends, and so on.

    Raises UserError where one of them is missing, no YAML, no mapping, holds a key twice, or extends itself.
    """
    files = {path: _content(path, path)}
    file = path
    while (base := files[file].get("extends")) is not None:
        if not is_name(base):
            raise UserError(f"{_place(file, path)}: extends: {shown(base)} is no name: {NAME_RULE}")
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
    content = parse(_text(file, path), _place(file, path))
    if not isinstance(content, dict):
        raise UserError(f"{_place(file, path)}: must be a mapping of keys to values, not {shown(content)}")
    return content


def _text(file: Path, path: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
        text = content.decode()
    except FileNotFoundError as error:
        known = sorted(other.stem for other in file.parent.glob("[!.]*.yaml") if other != path)
        raise UserError(f"{_place(file, path)}: no such file{nearest(file.stem, known)}") from error
    except OSError as error:
        raise UserError(f"{_place(file, path)}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{_place(file, path)}: is no text in UTF-8 ({error.reason} at byte {error.start})") from error
    if len(content) > MOST_BYTES:
        raise UserError(f"{_place(file, path)}: is too long for an experiment; allowed: {MOST_BYTES:,} bytes")
    return text


def parse(text: str, start: str) -> Any:
    """YAML as what JSON can say, keys being text. Raises UserError for anything else; its message begins with `start`."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        problem = " ".join(words for words in (error.context, error.problem) if words)
        raise UserError(f"{start}: no valid YAML: {shown(problem, str)} (line {error.problem_mark.line + 1})") from error
    except yaml.YAMLError as error:
        raise UserError(f"{start}: no valid YAML: {' '.join(str(error).split())}") from error


class _Loader(yaml.SafeLoader):
    """The core schema of YAML 1.2: `1e-3` is a number, `no`, `1:30` and `2024-01-01` are text, `010` and `1_000` are none.

    Beyond that it refuses tags, a key given twice or that is no text, control characters, and what no experiment needs.
    Values behind aliases are counted before anything is made of them: a few lines can stand for more than memory holds.
    """

    yaml_implicit_resolvers = {}

    def __init__(self, text: str):
        super().__init__(text)
        self._level = 0
        self._n_values: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        event = self.peek_event()
        if getattr(event, "tag", None) is not None:
            self._refuse(f"tags such as {shown(event.tag)} have no meaning here", event)
        if isinstance(event, yaml.ScalarEvent) and UNPRINTABLE.search(event.value):
            self._refuse("it holds a control character", event)
        if self._level == MOST_LEVELS:
            self._refuse(f"values lie within values more than {MOST_LEVELS} times", event)
        self._level += 1
        node = super().compose_node(parent, index)
        self._level -= 1
        if not isinstance(event, yaml.AliasEvent):
            self._n_values[node] = 1 + sum(map(self._n_values.__getitem__, _inner(node)))
        elif node not in self._n_values:
            self._refuse(f"the alias {shown(event.anchor)} lies within what it stands for", event)
        if max(self._n_values[node], len(self._n_values)) > MOST_VALUES:
            self._refuse(f"it has more than {MOST_VALUES:,} values", event)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:
        seen: dict[str, yaml.Mark] = {}
        for key_node, _ in node.value:
            key, mark = self.construct_object(key_node, deep=True), key_node.start_mark
            if not isinstance(key, str) or not key.isprintable():
                raise _Refused(f"the key {shown(key)} is no text of one line (line {mark.line + 1})")
            if key in seen:
                raise _Refused(f"the key {shown(key)} stands twice (lines {seen[key].line + 1} and {mark.line + 1})")
            seen[key] = mark
        return super().construct_mapping(node, deep)

    def _refuse(self, problem: str, event: yaml.Event) -> None:
        raise _Refused(f"{problem} (line {event.start_mark.line + 1})")


class _Refused(yaml.YAMLError):
    """What YAML allows and an experiment file does not."""


UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")


def _inner(node: yaml.Node) -> Iterable[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return chain.from_iterable(node.value)
    return node.value if isinstance(node, yaml.SequenceNode) else ()


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    # Longer ones, and those with a leading 0, which YAML 1.1 read as octal, stay text.
    ("int", r"[-+]?(0|[1-9][0-9]{0,17})", list("-+0123456789")),
    ("float", r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", list("-+.")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"({_pattern})\Z"), _first)


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
        parts = [place_of(location), ".".join(shown(part, str) for part in location), _message(mistake, allowed)]
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
            return f"{shown(tag)} is not known{nearest(tag, allowed)}"
        case "literal_error":
            expected = re.findall(r"'([^']*)'", mistake["ctx"]["expected"])
            return f"{shown(met)} is not known{nearest(str(met), expected)}"
        case "union_tag_not_found":
            return f"{shown(met)} does not say its {mistake['ctx']['discriminator']}{nearest('', allowed)}"
        case "value_error":
            return str(mistake["ctx"]["error"])
        case _:
            # pydantic speaks of JSON, the file is YAML.
            message = mistake["msg"].replace("a valid array", "a list").replace("an object", "a mapping")
            return f"{message.replace('Input should', 'must')}, not {shown(met)}"


def nearest(met: str, allowed: Collection[str]) -> str:
    """For the end of a message: the nearest spelling, and everything that is allowed."""
    if not allowed:
        return ""
    close = difflib.get_close_matches(met, allowed, n=1)
    guess = f"; did you mean {close[0]!r}?" if close else ";"
    return f"{guess} allowed: {shown(', '.join(allowed), str, 1000)}"
