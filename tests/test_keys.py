"""Keys of results that are made of more than code and settings."""

import shutil

import pytest

from vaebench import keys


@pytest.mark.parametrize("name", ["report.html", "report_macros.html", "report.css", "report.js", "references.bib"])
def test_a_report_is_out_of_date_when_any_part_of_its_page_changes(make_experiment, tmp_path, monkeypatch, name):
    package = tmp_path / "package"
    package.mkdir()
    for path in keys.PACKAGE.glob("*.*"):
        shutil.copy(path, package)
    monkeypatch.setattr(keys, "PACKAGE", package)
    experiment = make_experiment()
    before = keys.report_key(experiment)
    assert keys.report_key(experiment) == before
    (package / name).write_text("other", encoding="utf-8")
    assert keys.report_key(experiment) != before
