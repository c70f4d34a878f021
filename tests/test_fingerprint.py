"""Fingerprints change with the code that a step runs, and with nothing else."""

import pytest

from vaebench.fingerprint import _statements, direct_imports, fingerprint, imported

MODULES = {
    "a": '"""Doc."""\nfrom package import b\n\ndef f():\n    from package.c import g\n    return g()\n',
    "b": "X = 1\n",
    "c": "def g():\n    return 2\n",
    "d": "Y = 3\n",
    "registered": "@THINGS.register\nclass One: size = 1\n\n@THINGS.register(x=1)\ndef two(): return 2\n\nZ = 5\n",
}


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "package"
    folder.mkdir()
    for name, code in MODULES.items():
        (folder / f"{name}.py").write_text(code)
    return folder


def after(package, module, name, old, new, used=frozenset()):
    """The fingerprint of a module before and after an edit of a file."""
    before = fingerprint(module, used, package)
    path = package / f"{name}.py"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    for cached in (fingerprint, _statements, direct_imports):
        cached.cache_clear()
    return before, fingerprint(module, used, package)


def test_imports_are_followed_within_functions_too(package):
    assert imported("a", package) == {"a", "b", "c"}


@pytest.mark.parametrize(("name", "old", "new"), [("a", "g()", "g() + 1"), ("b", "1", "7"), ("c", "2", "7")])
def test_code_that_is_run_counts(package, name, old, new):
    before, now = after(package, "a", name, old, new)
    assert before != now


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [("d", "3", "7"), ("b", "X = 1", "# A comment.\nX   =  1"), ("a", '"""Doc."""', '"""Another."""')],
)
def test_other_modules_comments_layout_and_docstrings_do_not(package, name, old, new):
    before, now = after(package, "a", name, old, new)
    assert before == now


def test_registered_definitions_count_only_where_they_are_used(package):
    before, now = after(package, "registered", "registered", "size = 1", "size = 9", frozenset(["two"]))
    assert before == now
    before, now = after(package, "registered", "registered", "size = 9", "size = 10", frozenset(["One"]))
    assert before != now
    before, now = after(package, "registered", "registered", "return 2", "return 3", frozenset(["One"]))
    assert before == now
    before, now = after(package, "registered", "registered", "Z = 5", "Z = 6", frozenset())
    assert before != now


@pytest.mark.parametrize("step", ["training", "evaluation"])
def test_what_only_reports_or_plans_is_no_part_of_training_and_evaluation(step):
    others = {
        "keys",
        "fingerprint",
        "tables",
        "statistics",
        "figures",
        "plotting",
        "findings",
        "report",
        "tracking",
        "stages",
        "cli",
    }
    assert not imported(step) & others
