"""Whole hostile bundles through the command line: each is refused with its reason and leaves no trace."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.bundle import toy

VERBS = ("predict", "train", "export", "verify")


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def _config(change: Callable[[dict[str, Any], str], Any], *files: str) -> Callable[[Path, str], None]:
    def plant(bundle: Path, canary: str) -> None:
        for name in files or ("inference", "train"):
            toy.edit(bundle / "configs" / f"{name}.json", lambda config: change(config, canary))

    return plant


def _writes(config: dict[str, Any], canary: str) -> None:
    config["initialize"] = [f"$open({canary!r}, 'w').write('x')"]


def _runs(config: dict[str, Any], canary: str) -> None:
    config["network_def"] = {"_target_": "subprocess.call", "args": ["touch", canary]}


def _imports(config: dict[str, Any], canary: str) -> None:
    config["imports"] = ["$import evil"]


def _walks(config: dict[str, Any], canary: str) -> None:
    walk = "().__class__.__base__.__subclasses__()"
    config["device"] = f"$[c for c in {walk} if c.__name__ == 'Popen'][0](['touch', {canary!r}])"


def _lends_a_reader(config: dict[str, Any], canary: str) -> None:
    config["loader"] = {"_target_": "LoadImage", "_mode_": "callable"}
    config["initialize"] = [f"$@loader(reader='subprocess.Popen', args=['touch', {canary!r}])"]


def _references(config: dict[str, Any], canary: str) -> None:
    config |= {"b0": ["x"] * 10} | {f"b{n}": [f"@b{n - 1}"] * 10 for n in range(1, 14)}
    config["initialize"] = ["@b13"]


def _module(bundle: Path, canary: str) -> None:
    _config(_imports)(bundle, canary)
    (bundle / "evil.py").write_text(f"open({canary!r}, 'w')")


def _scripts(bundle: Path, canary: str) -> None:
    (bundle / "scripts").mkdir()
    (bundle / "scripts" / "__init__.py").write_text(f"open({canary!r}, 'w')")
    for name in ("inference", "train"):
        toy.edit(
            bundle / "configs" / f"{name}.json", lambda c: c.update(network_def={"_target_": "scripts.Net"})
        )


def _traversal(bundle: Path, canary: str) -> None:
    with zipfile.ZipFile(bundle / "models" / "model.pt", "a") as packed:
        packed.writestr("../../canary", "x")


def _links(bundle: Path, canary: str) -> None:
    (bundle / "models" / "model.pt").unlink()
    (bundle / "models" / "model.pt").symlink_to("/etc/passwd")
    (bundle / "eval").symlink_to(bundle.parent)


def _pickles(bundle: Path, canary: str) -> None:
    toy.archive(bundle / "models" / "model.pt", pickle.dumps(Touch(canary), protocol=2))


def _logs(bundle: Path, canary: str) -> None:
    path = bundle / "configs" / "logging.conf"
    text = path.read_text().replace("class=StreamHandler", "class=FileHandler")
    path.write_text(text.replace("args=(sys.stdout,)", f"args=({canary!r}, 'w')"))


def _metadata(bundle: Path, canary: str) -> None:
    toy.edit(bundle / "configs" / "metadata.json", lambda m: m.update(task=f"$open({canary!r}, 'w')"))


HOSTILE: dict[str, tuple[Callable[[Path, str], None], str]] = {
    "writes a file": (_config(_writes), "$open("),
    "runs a program": (_config(_runs), "subprocess.call"),
    "imports its own module": (_module, "evil"),
    "walks attributes": (_config(_walks), "__"),
    "lends a reader": (_config(_lends_a_reader), "loader"),
    "brings scripts": (_scripts, "scripts"),
    "leads outside by a path in its weights": (_traversal, "leads outside"),
    "leads outside by links": (_links, "a link to"),
    "pickles its weights": (_pickles, "system"),
    "unfolds a bomb of references": (_config(_references), "unfolds"),
    "logs into a file": (_logs, "logging"),
    "hides code in its metadata": (_metadata, "metadata"),
}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return toy.write(tmp_path / "stranger")


def _command(verb: str, bundle: Path, out: Path) -> list[str]:
    rest = {
        "predict": ["-i", str(bundle / "scan.nii.gz"), "-o", str(out)],
        "train": ["--data", str(bundle), "-o", str(out)],
        "export": ["--to", "onnx", "-o", str(out)],
        "verify": ["--json"],
    }
    return [verb, str(bundle), *rest[verb]]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_bundle_is_refused_by_every_verb_and_leaves_no_trace(
    bundle: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from medseg.cli.app import main

    plant, reason = HOSTILE[name]
    canary = tmp_path / "canary"
    plant(bundle, str(canary))
    before = sorted(tmp_path.rglob("*"))
    for verb in VERBS:
        with pytest.raises(SystemExit) as stop:
            main(_command(verb, bundle, tmp_path / "out"))
        told = capsys.readouterr()
        assert stop.value.code == 2, verb
        assert reason in told.err + told.out, verb
        assert "Traceback" not in told.err
    assert sorted(tmp_path.rglob("*")) == before


def _zip(path: Path, name: str, content: str = "x", link: bool = False) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = (0o120777 if link else 0o100644) << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        packed.writestr(entry, content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "link", "reason"),
    [
        ("../canary", "x", False, "leads outside"),
        ("/tmp/canary", "x", False, "leads outside"),
        ("..\\canary", "x", False, "leads outside"),
        ("C:/canary", "x", False, "leads outside"),
        ("toy/models", "/etc", True, "a link"),
        ("toy/bomb", "0" * (70 << 20), False, "swells"),
        ("toy/configs/inference.json", "{}", False, "unpack it"),
    ],
)
def test_an_archive_is_never_unpacked_and_its_harm_is_told(
    tmp_path: Path, name: str, content: str, link: bool, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from medseg.cli.app import main

    archive = _zip(tmp_path / "toy.zip", name, content, link)
    before = sorted(tmp_path.rglob("*"))
    for verb in (*VERBS, "lint"):
        rest = ["lint", str(archive)] if verb == "lint" else _command(verb, archive, tmp_path / "out")
        with pytest.raises(SystemExit) as stop:
            main(rest)
        assert stop.value.code == 2, verb
        assert reason in capsys.readouterr().err, verb
    assert sorted(tmp_path.rglob("*")) == before


def test_the_payload_of_these_tests_works_where_nothing_stops_it(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    pickle.loads(pickle.dumps(Touch(str(canary))))  # noqa: S301
    assert canary.exists()


def test_a_program_on_the_leash_is_refused_where_the_check_would_have_missed_it(tmp_path: Path) -> None:
    code = (
        "import sys; from medseg.bundle.restricted import leash\n"
        "import subprocess\n"
        "with leash(sys.argv[1]): subprocess.run(['touch', sys.argv[2]])"
    )
    arguments = [str(tmp_path / "out"), str(tmp_path / "canary")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert "the bundle tried to run touch" in done.stderr
    assert not (tmp_path / "canary").exists()


def test_verify_tells_the_reason_as_json(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from medseg.cli.app import main

    _config(_runs)(bundle, "x")
    with pytest.raises(SystemExit):
        main(["verify", str(bundle), "--json"])
    steps = json.loads(capsys.readouterr().out)["steps"]
    assert [s["status"] for s in steps if s["name"] == "trust"] == ["failed"]
