"""The doctor names what is known to be bad, and survives what is broken."""

import json
import subprocess
import sys

import pytest

from medseg import doctor
from medseg.cli.app import main

GOOD = {n: "99.0" for names in doctor.PACKAGES.values() for n in names} | {"monai": "1.6.1"}


def told(installed):
    return [(a.severity, a.found.split(":")[0]) for a in doctor.known_bad(installed)]


def test_nothing_is_said_of_good_versions():
    assert told(GOOD) == []


@pytest.mark.parametrize(
    ("package", "bad", "good"),
    [("torch", "2.9.1+cpu", "2.10.0"), ("monai", "1.6.0", "1.6.1"), ("pydicom", "2.4.4", "3.0.1")],
)
def test_a_version_with_a_known_fault_is_an_error_and_the_next_is_not(package, bad, good):
    assert told(GOOD | {package: bad}) == [("error", f"{package} {bad}")]
    assert told(GOOD | {package: good}) == []


def test_a_monai_of_the_future_is_a_warning():
    assert [severity for severity, _ in told(GOOD | {"monai": "1.7.0"})] == ["warning"]


def test_a_missing_reader_is_an_error_and_a_missing_runtime_is_not():
    assert told(GOOD | {"nibabel": "", "openvino": ""}) == [("error", "nibabel is not installed")]


def test_a_torch_that_cannot_be_imported_is_a_line_of_the_report(monkeypatch):
    monkeypatch.setattr(doctor, "_PROBE", "import no_such_torch")
    found, trouble = doctor.devices()
    assert (found, trouble[0].severity) == ([], "error")
    assert "no_such_torch" in trouble[0].found


def test_pickles_allowed_by_a_variable_are_a_warning(monkeypatch):
    monkeypatch.setenv("MONAI_ALLOW_PICKLE", "1")
    assert any("MONAI_ALLOW_PICKLE" in a.found for a in doctor._variables())


def test_little_memory_and_disk_are_warnings():
    found = list(doctor._resources({"total": 8.0, "free": 0.5}, {"here": 0.2, "temporary": 50.0}))
    assert [a.severity for a in found] == ["warning", "warning"]


def test_the_command_tells_text_and_json(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "_PROBE", 'print(\'[{"name": "cpu"}]\')')
    main_stops_with(0, ["doctor"])
    assert "nothing is known to be wrong" in capsys.readouterr().out
    main_stops_with(0, ["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert report["packages"]["needed"]["torch"]
    assert {"total", "free"} <= set(report["memory_gb"])


def main_stops_with(code, arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == code


def test_the_doctor_itself_imports_neither_torch_nor_monai():
    code = "import sys; import medseg.doctor; print([m for m in ('torch', 'monai') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
