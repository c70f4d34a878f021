"""Fingerprints of code: which results an edit makes out of date.

A step's fingerprint covers the modules that its own module imports, directly or not, within this package. Comments,
docstrings and layout do not count, nor do registered definitions that the runs at hand do not use: adding a likelihood
retrains nothing.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent


@cache
def fingerprint(module: str, used: frozenset[str] = frozenset(), package: Path = PACKAGE) -> str:
    """Of everything that `module` (a name within the package) runs, where of the registered definitions `used` are used."""
    digest = hashlib.sha256()
    for name in sorted(imported(module, package)):
        digest.update(f"{name}\n".encode())
        for registered, code in _statements(package / f"{name}.py"):
            if registered is None or registered in used:
                digest.update(code.encode())
    return digest.hexdigest()[:16]


def imported(module: str, package: Path = PACKAGE) -> frozenset[str]:
    """The package's modules that `module` imports, directly or not, anywhere in its code; itself among them."""
    seen, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += direct_imports(package / f"{name}.py")
    return frozenset(seen)


@cache
def direct_imports(path: Path) -> frozenset[str]:
    """The package's modules that a file imports by name."""
    names = set()
    package = path.parent.name
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module == package:
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{package}."):
            names.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith(f"{package}.")}
    return frozenset(name for name in names if (path.parent / f"{name}.py").exists())


@cache
def _statements(path: Path) -> tuple[tuple[str | None, str], ...]:
    """A file's top-level statements as code without comments and docstrings, each with its name if it is registered."""
    return tuple((_registered_name(node), ast.unparse(node)) for node in _without_docstrings(_tree(path)).body)


def _registered_name(node: ast.stmt) -> str | None:
    for decorator in getattr(node, "decorator_list", []):
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(called, ast.Attribute) and called.attr == "register":
            return node.name
    return None


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in _bodies(tree):
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def _bodies(tree: ast.Module) -> Iterator[ast.AST]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef))


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))
