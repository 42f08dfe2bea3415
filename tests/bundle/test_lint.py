"""Each planted fault is found, at its place, with its nearest name; a bundle without faults shows none."""

# ruff: noqa: E501
from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from medseg.bundle.lint import Bundle, Finding, check_overrides, lint, nearest
from medseg.errors import BundleError, OverrideError
from tests.bundle import toy


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return toy.write(tmp_path / "toy")


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, [str(f) for f in findings]
    return findings[0]


@pytest.mark.parametrize("suffix", [".json", ".yaml", ".yml"])
def test_a_sound_bundle_in_the_manner_of_the_model_zoo_has_no_finding(tmp_path: Path, suffix: str) -> None:
    assert lint(toy.write(tmp_path / "toy", suffix=suffix)) == []


def _set(path: str, value: Any) -> Any:
    def change(config: Any) -> None:
        *parents, last = path.split("/")
        for key in parents:
            config = config[int(key) if isinstance(config, list) else key]
        config[int(last) if isinstance(config, list) else last] = value

    return change


def _move(path: str, new: str) -> Any:
    def change(config: Any) -> None:
        *parents, last = path.split("/")
        for key in parents:
            config = config[int(key) if isinstance(config, list) else key]
        config[new] = config.pop(last)

    return change


def _drop(path: str) -> Any:
    def change(config: Any) -> None:
        *parents, last = path.split("/")
        for key in parents:
            config = config[int(key) if isinstance(config, list) else key]
        del config[last]

    return change


# (file, change, code, id, nearest): one fault each
CONFIG_FAULTS = {
    "misspelt transform": ("inference", _set("preprocessing/transforms/2/_target_", "Orientatiod"), "unknown-target", "preprocessing::transforms::2", "Orientationd"),
    "misspelt full path": ("train", _set("optimizer/_target_", "torch.optim.Adm"), "unknown-target", "optimizer", "torch.optim.Adam"),
    "misspelt package": ("train", _set("optimizer/_target_", "torch.optm.Adam"), "unknown-target", "optimizer", "torch.optim.Adam"),
    "class in the wrong module": ("train", _set("loss/_target_", "monai.networks.DiceCELoss"), "unknown-target", "loss", "monai.losses.dice.DiceCELoss"),
    "package that is not installed": ("train", _set("loss/_target_", "no_such_package.Loss"), "unknown-target", "loss", ""),
    "script that is not there": ("train", _set("loss/_target_", "scripts.losses.Loss"), "unknown-target", "loss", ""),
    "module as target": ("train", _set("loss/_target_", "monai.losses"), "unknown-target", "loss", ""),
    "target that is no name": ("train", _set("loss/_target_", 3), "unknown-target", "loss", ""),
    "misspelt argument": ("train", _move("loss/softmax", "softmx"), "unknown-argument", "loss::softmx", "softmax"),
    "argument that is gone": ("train", _set("network_def/n_layers", 3), "unknown-argument", "network_def::n_layers", ""),
    "argument of the base class misspelt": ("train", _move("train/dataloader/batch_size", "batch_sise"), "unknown-argument", "train::dataloader::batch_sise", "batch_size"),
    "missing argument": ("inference", _drop("network_def/strides"), "missing-argument", "network_def", ""),
    "misspelt argument that is needed": ("train", _move("validate/handlers/0/save_dict", "save_dct"), "unknown-argument", "validate::handlers::0::save_dct", "save_dict"),
    "dangling reference": ("train", _set("train/trainer/network", "@netwrk"), "dangling-reference", "train::trainer::network", "@network"),
    "dangling nested reference": ("train", _set("train/trainer/inferer", "@train#infere"), "dangling-reference", "train::trainer::inferer", "@train::inferer"),
    "dangling reference in an expression": ("train", _set("network", "$@network_deff.to(@device)"), "dangling-reference", "network", "@network_def"),
    "dangling macro": ("train", _set("validate/postprocessing", "%train#postprocesing"), "dangling-reference", "validate::postprocessing", "%train::postprocessing"),
    "circular reference": ("train", _set("val_interval", "@val_interval"), "circular-reference", "val_interval", ""),
    "missing evaluator": ("inference", _move("evaluator", "evalutor"), "missing-id", "evaluator", "evalutor"),
    "expression that reads a file": ("train", _set("images", "$open('/etc/passwd').readlines()"), "expression", "images", ""),
    "import of a module that does more": ("train", _set("imports/0", "$import subprocess"), "expression", "imports::0", ""),
    "lambda": ("train", _set("images", "$lambda x: x"), "expression", "images", ""),
    "power tower": ("train", _set("val_interval", "$9**9**9"), "expression", "val_interval", ""),
    "syntax error": ("train", _set("images", "$[1, 2"), "expression", "images", ""),
    "misspelt special key": ("train", _set("loss/_disbled_", True), "unknown-key", "loss", "_disabled_"),
    "unknown mode": ("train", _set("loss/_mode_", "calable"), "unknown-key", "loss", "callable"),
    "patch of an id that is not there": ("evaluate", _set("validate#datset#cache_num", 2), "unknown-id", "validate::datset::cache_num", "validate::dataset"),
    "id that nothing uses and is nearly another": ("inference", _move("output_ext", "outputdir"), "dangling-reference", "postprocessing::transforms::3::output_ext", "@output_dir"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIG_FAULTS)
def test_a_fault_in_a_config_is_found_with_its_id_line_and_nearest_name(bundle: Path, name: str) -> None:
    stem, change, code, item_id, near = CONFIG_FAULTS[name]
    path = bundle / "configs" / f"{stem}.json"
    toy.edit(path, change)
    found = [f for f in lint(bundle) if f.code == code and f.id == item_id]
    first = found[0] if found else Finding("", 0, "", "", f"not found among {[str(f) for f in lint(bundle)]}")
    assert (first.file, first.code, first.nearest) == (f"configs/{stem}.json", code, near), str(first)
    assert first.is_error


def test_the_line_of_a_finding_is_the_line_of_the_fault(bundle: Path) -> None:
    path = bundle / "configs" / "train.yaml"
    (bundle / "configs" / "train.json").unlink()
    import yaml

    path.write_text(yaml.safe_dump(toy.train(), sort_keys=False).replace("softmax: true", "softmx: true", 1))
    line = 1 + path.read_text().splitlines().index("  softmx: true")
    assert (only(lint(bundle)).file, only(lint(bundle)).line) == ("configs/train.yaml", line)


META_FAULTS = {
    "old name of required packages": (_move("required_packages_version", "optional_packages_version"), "metadata-schema"),
    "missing task": (_drop("task"), "metadata-schema"),
    "channels as text": (_set("network_data_format/outputs/pred/num_channels", "2"), "metadata-schema"),
    "no value range": (_drop("network_data_format/inputs/image/value_range"), "metadata-schema"),
    "references as text": (_set("references", "a paper"), "metadata-schema"),
    "version not in changelog": (_set("version", "0.1.1"), "changelog"),
    "no changelog": (_drop("changelog"), "changelog"),
    "changelog newer than version": (_set("changelog/0.2.0", "next"), "changelog"),
    "MONAI of the future": (_set("monai_version", "9.9.9"), "version"),
    "no version at all": (_set("pytorch_version", "latest"), "version"),
    "wrong output channels": (_set("network_data_format/outputs/pred/num_channels", 7), "metadata-network"),
    "wrong input channels": (_set("network_data_format/inputs/image/num_channels", 4), "metadata-network"),
    "wrong output shape": (_set("network_data_format/outputs/pred/spatial_shape", [8, 8, 8]), "metadata-network"),
    "shape of the wrong rank": (_set("network_data_format/inputs/image/spatial_shape", [16, 16]), "metadata-network"),
    "incomplete channel_def": (_drop("network_data_format/outputs/pred/channel_def/1"), "channel-def"),
    "too many channels named": (_set("network_data_format/outputs/pred/channel_def/2", "x"), "channel-def"),
}  # fmt: skip


@pytest.mark.parametrize("name", META_FAULTS)
def test_a_fault_in_the_metadata_is_found(bundle: Path, name: str) -> None:
    change, code = META_FAULTS[name]
    toy.edit(bundle / "configs" / "metadata.json", change)
    assert code in {f.code for f in lint(bundle) if f.is_error and f.file == "configs/metadata.json"}


def test_an_old_bundle_may_use_the_old_name_of_required_packages_with_a_warning(bundle: Path) -> None:
    path = bundle / "configs" / "metadata.json"
    toy.edit(path, META_FAULTS["old name of required packages"][0])
    path.write_text(path.read_text().replace("20240725", "20220324"))
    assert only(lint(bundle)).severity == "warning"


@pytest.mark.parametrize(
    "name", ["LICENSE", "docs/README.md", "docs/data_license.txt", "models/model.pt", "configs/metadata.json"]
)
def test_a_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    assert (name, "missing-file") in {(f.file, f.code) for f in lint(bundle)}


@pytest.mark.parametrize("stem", ["inference", "train"])
def test_a_missing_config_is_named(bundle: Path, stem: str) -> None:
    (bundle / "configs" / f"{stem}.json").unlink()
    found = {f.file: f.severity for f in lint(bundle) if f.code == "missing-file"}
    assert found[f"configs/{stem}.yaml"] == "error"


def test_a_bundle_to_predict_with_alone_is_warned_about_only(bundle: Path) -> None:
    for stem in ("train", "evaluate"):
        (bundle / "configs" / f"{stem}.json").unlink()
    assert [(f.file, f.severity) for f in lint(bundle)] == [("configs/train.yaml", "warning")]


def test_what_monai_took_away_is_told_with_what_does_it_now(bundle: Path) -> None:
    path = bundle / "configs" / "inference.json"
    path.write_text(path.read_text().replace("EnsureChannelFirstd", "AddChanneld"))
    assert {f.nearest for f in lint(bundle) if f.code == "unknown-target"} == {"EnsureChannelFirstd"}


@pytest.mark.parametrize(
    "wanted", ["bundle_root", "device", "dataset_dir", "dataset", "inferer", "network_def", "run"]
)
def test_an_id_that_inference_requires_is_missed(bundle: Path, wanted: str) -> None:
    toy.edit(bundle / "configs" / "inference.json", _drop(wanted))
    assert wanted in {f.id for f in lint(bundle) if f.code == "missing-id"}


@pytest.mark.parametrize(
    "wanted", ["train/trainer", "train/inferer", "train/dataset", "train/trainer/max_epochs", "run"]
)
def test_an_id_that_training_requires_is_missed(bundle: Path, wanted: str) -> None:
    toy.edit(bundle / "configs" / "train.json", _drop(wanted))
    assert wanted.replace("/", "::") in {f.id for f in lint(bundle) if f.code == "missing-id"}


@pytest.mark.parametrize(
    ("text", "line"),
    [("{", 1), ('{\n "a": 1,\n}', 3), ('{\n "a": 1\n "b": 2}', 3), ("[1]", 1), ('{"a": 1} x', 1), ("", 1)],
)
def test_a_config_that_is_no_json_is_an_error_with_its_line(bundle: Path, text: str, line: int) -> None:
    (bundle / "configs" / "train.json").write_text(text)
    found = [f for f in lint(bundle) if f.code == "unreadable"]
    assert (only(found).file, only(found).line) == ("configs/train.json", line)


@pytest.mark.parametrize(
    "text",
    [
        "a: [1",
        "a: b: c",
        "a: !!python/object/apply:os.system ['true']",
        "- 1",
        "a: *b",
        "a: \t- x: [",
        "---\na: 1\n---\nb: 2",
    ],
)
def test_a_config_that_is_no_plain_yaml_is_an_error(bundle: Path, text: str) -> None:
    (bundle / "configs" / "train.json").unlink()
    (bundle / "configs" / "train.yaml").write_text(text)
    assert "unreadable" in {f.code for f in lint(bundle)}


def test_a_key_that_is_set_twice_is_named(bundle: Path) -> None:
    path = bundle / "configs" / "train.json"
    path.write_text(
        path.read_text().replace('"val_interval": 1,', '"val_interval": 1,\n  "val_interval": 2,')
    )
    assert only(lint(bundle)).code == "duplicate-key"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("class=StreamHandler", "class=FileHandler"),
        ("class=StreamHandler", "class=logging.handlers.SocketHandler"),
        ("class=StreamHandler", "class=__import__('os').system('true') or StreamHandler"),
        ("args=(sys.stdout,)", "args=('/tmp/x', 'w')"),
        ("args=(sys.stdout,)", "args=(__import__('os').system('true'),)"),
        ("format=%(asctime)s", "class=os.system\nformat=%(asctime)s"),
        ("[loggers]", "loggers"),
    ],
)
def test_a_logging_conf_that_does_more_than_log_is_named(bundle: Path, old: str, new: str) -> None:
    path = bundle / "configs" / "logging.conf"
    path.write_text(path.read_text().replace(old, new))
    assert only(lint(bundle)).code == "logging-conf"


def test_labels_of_the_config_must_be_the_channels_of_the_metadata(bundle: Path) -> None:
    toy.edit(bundle / "configs" / "inference.json", _set("labels", {"background": 0, "bolb": 1}))
    found = only(lint(bundle))
    assert (found.code, found.nearest) == ("channel-def", "bolb")


def test_channels_of_regions_are_named_by_the_regions(bundle: Path) -> None:
    path = bundle / "configs" / "inference.json"
    toy.edit(path, _set("labels", {"background": 0, "core": 1, "rim": 2}))
    toy.edit(path, _set("regions", {"background": [0], "blob": [1, 2]}))
    assert lint(bundle) == []
    toy.edit(path, _set("regions", {"blob": [1, 2], "background": [0]}))
    assert {f.code for f in lint(bundle)} == {"channel-def"}


def test_a_network_may_be_pretrained_in_training_alone(bundle: Path) -> None:
    toy.edit(bundle / "configs" / "train.json", _set("network_def/dropout", 0.2))
    assert lint(bundle) == []


def test_the_class_count_may_come_from_the_labels(bundle: Path) -> None:
    toy.edit(bundle / "configs" / "inference.json", _set("labels", {"background": 0, "blob": 1}))
    toy.edit(bundle / "configs" / "inference.json", _set("network_def/out_channels", "$len(@labels)"))
    assert lint(bundle) == []


def _bomb(levels: int = 12) -> dict[str, Any]:
    nested: dict[str, Any] = {"bomb0": ["x"] * 10}
    nested |= {f"bomb{n}": [f"@bomb{n - 1}"] * 10 for n in range(1, levels)}
    return nested


def test_a_bomb_of_nested_references_is_named_and_costs_nothing(bundle: Path) -> None:
    toy.edit(bundle / "configs" / "inference.json", lambda config: config.update(_bomb()))
    start = time.process_time()
    found = [f for f in lint(bundle) if f.code == "reference-bomb"]
    assert (found[0].file, time.process_time() - start < 5) == ("configs/inference.json", True)


def test_a_bomb_of_macros_is_an_error_and_costs_nothing(bundle: Path) -> None:
    bomb = {"bomb0": ["x"] * 10} | {f"bomb{n}": [f"%bomb{n - 1}"] * 10 for n in range(1, 12)}
    toy.edit(bundle / "configs" / "inference.json", lambda config: config.update(bomb))
    assert "unreadable" in {f.code for f in lint(bundle)}


def test_a_bomb_of_yaml_aliases_is_an_error_and_costs_nothing(bundle: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (bundle / "configs" / "train.json").unlink()
    (bundle / "configs" / "train.yaml").write_text("\n".join(lines))
    assert "unreadable" in {f.code for f in lint(bundle)}


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000], ids=["lists", "mappings"])
@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_endless_nesting_is_an_error_and_no_crash(bundle: Path, text: str, suffix: str) -> None:
    (bundle / "configs" / "train.json").unlink()
    (bundle / "configs" / f"train{suffix}").write_text(text)
    assert "unreadable" in {f.code for f in lint(bundle)}


def test_five_faults_are_five_findings_in_under_a_second_without_torch_or_monai(bundle: Path) -> None:
    toy.edit(bundle / "configs" / "train.json", CONFIG_FAULTS["misspelt argument"][1])
    toy.edit(bundle / "configs" / "train.json", CONFIG_FAULTS["dangling nested reference"][1])
    toy.edit(bundle / "configs" / "inference.json", CONFIG_FAULTS["misspelt transform"][1])
    toy.edit(bundle / "configs" / "metadata.json", META_FAULTS["version not in changelog"][0])
    (bundle / "LICENSE").unlink()
    code = (
        "import sys, time; from medseg.cli.app import main\n"
        "try: main(['lint', sys.argv[1], '--json'])\n"
        "except SystemExit as end: code = end.code\n"
        "loaded = [m for m in ('torch', 'monai', 'numpy') if m in sys.modules]\n"
        "print(code, loaded, time.process_time(), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(bundle)], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["errors"] == 5
    status, loaded, seconds = done.stderr.split()
    assert (status, loaded, float(seconds) < 1.0) == ("2", "[]", True)


def test_ten_thousand_ids_and_dangling_references_take_seconds_and_not_hours(bundle: Path) -> None:
    many = {f"id{n}": f"@missing{n}" for n in range(10_000)}
    toy.edit(bundle / "configs" / "inference.json", lambda config: config.update(many))
    # A process of its own: measuring coverage makes this ten times slower.
    code = (
        "import sys, time; from pathlib import Path; from medseg.bundle.lint import lint\n"
        "found = [f for f in lint(Path(sys.argv[1])) if f.code == 'dangling-reference']\n"
        "print(len(found), time.process_time() < 20)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(bundle)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["10000", "True"]


def test_pipes_and_huge_files_do_not_keep_lint_waiting(bundle: Path) -> None:
    (bundle / "configs" / "logging.conf").unlink()
    os.mkfifo(bundle / "configs" / "logging.conf")
    (bundle / "LICENSE").unlink()
    os.mkfifo(bundle / "LICENSE")
    with (bundle / "configs" / "other.json").open("wb") as file:
        file.truncate(1 << 32)
    assert {f.code for f in lint(bundle)} == {"logging-conf", "missing-file", "unreadable"}


def test_train_and_inference_with_other_networks_are_an_error(bundle: Path) -> None:
    toy.edit(bundle / "configs" / "train.json", _set("network_def/channels", [4, 16]))
    found = only(lint(bundle))
    assert (found.code, found.id) == ("train-differs", "network_def::channels::1")


def test_values_that_are_equal_after_references_do_not_differ(bundle: Path) -> None:
    toy.edit(bundle / "configs" / "train.json", _set("network_def/out_channels", "@n_classes"))
    toy.edit(bundle / "configs" / "train.json", _set("n_classes", 2))
    assert lint(bundle) == []


def test_a_metric_that_nobody_computes_is_a_warning_with_the_nearest(bundle: Path) -> None:
    toy.edit(bundle / "configs" / "evaluate.json", _set("validate#handlers/1/metrics", ["val_dice"]))
    found = only(lint(bundle))
    assert (found.code, found.nearest, found.severity) == ("unknown-metric", "val_mean_dice", "warning")


def test_two_files_of_one_config_are_an_error(bundle: Path) -> None:
    text = (bundle / "configs" / "inference.json").read_text()
    (bundle / "configs" / "inference.yaml").write_text(text)
    assert only([f for f in lint(bundle) if f.code == "ambiguous-file"]).file == "configs/inference.yaml"


def test_a_setting_that_nothing_uses_is_a_warning(bundle: Path) -> None:
    toy.edit(bundle / "configs" / "train.json", _set("learning_rate", 0.1))
    assert [(f.code, f.id, f.severity) for f in lint(bundle)] == [("unused-id", "learning_rate", "warning")]


@pytest.mark.parametrize(("package", "wanted"), [("no-such-package", "1.0"), ("nibabel", "99.1")])
def test_a_package_that_is_missing_or_older_is_a_warning(bundle: Path, package: str, wanted: str) -> None:
    change = _set(f"required_packages_version/{package}", wanted)
    toy.edit(bundle / "configs" / "metadata.json", change)
    found = only(lint(bundle))
    assert (found.code, found.severity) == ("package", "warning")


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ("{path: models/x.pt, url: 'https://a.b/c', hash_val: d}", ""),
        ("{path: models/x.pt, url: 'https://a.b/c'}", "large-files"),
        ("{path: ../x.pt, url: 'https://a.b/c', hash_val: d}", "large-files"),
        ("{path: models/x.pt, url: 'file:///etc/passwd', hash_val: d}", "large-files"),
        ("3", "large-files"),
        ("!!python/object/apply:os.system [true]", "unreadable"),
    ],
)
def test_downloads_that_a_bundle_asks_for_are_judged(bundle: Path, entry: str, code: str) -> None:
    (bundle / "large_files.yml").write_text(f"large_files:\n- {entry}\n")
    assert {f.code for f in lint(bundle)} == ({code} if code else set())


def test_an_overlay_for_many_gpus_as_in_the_model_zoo_gives_findings_and_no_crash(bundle: Path) -> None:
    overlay = {
        "device": "$torch.device(f'cuda:{dist.get_rank()}')",
        "network": {
            "_target_": "torch.nn.parallel.DistributedDataParallel",
            "module": "$@network_def.to(@device)",
        },
        "train#sampler": {"_target_": "DistributedSampler", "dataset": "@train#dataset", "shuffle": True},
        "train#dataloader#sampler": "@train#sampler",
        "train#trainer#train_handlers": "$@train#handlers[: -2 if dist.get_rank() > 0 else None]",
        "initialize": ["$import torch.distributed as dist", "$dist.init_process_group(backend='nccl')"],
        "finalize": ["$dist.destroy_process_group()"],
    }
    (bundle / "configs" / "multi_gpu_train.json").write_text(json.dumps(overlay))
    found = lint(bundle)
    assert {(f.file, f.code) for f in found} == {("configs/multi_gpu_train.json", "expression")}


def test_a_folder_that_is_no_bundle_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no bundle at"):
        lint(tmp_path)


@pytest.mark.parametrize(
    ("override", "near"),
    [
        ("val_intervall", "--val_interval"),
        ("train.trainer.max_epochs", "--train#trainer#max_epochs"),
        ("validate#dataloadr#batch_size", ""),
        ("train#trainer#max_epoch", "--train#trainer#max_epochs"),
        ("network_def#chanels", "--network_def#channels"),
    ],
)
def test_an_override_that_names_nothing_is_refused_with_the_nearest_id(
    bundle: Path, override: str, near: str
) -> None:
    config = Bundle(bundle).config("train")
    assert config is not None
    with pytest.raises(OverrideError, match=f"--{override}") as caught:
        check_overrides(config, [override])
    assert near in str(caught.value)


def test_an_override_may_set_an_id_an_argument_or_a_list_item(bundle: Path) -> None:
    config = Bundle(bundle).config("train", "evaluate")
    assert config is not None
    ids = [
        "val_interval",
        "network_def#dropout",
        "train::trainer::amp",
        "validate#handlers#1#save_dir",
        "loss#_disabled_",
    ]
    assert check_overrides(config, ids) is None


def test_the_nearest_name_is_blind_to_case_and_empty_where_nothing_is_like_it() -> None:
    assert (nearest("diceloss", ["DiceLoss", "Dice"]), nearest("qqqq", ["DiceLoss"])) == ("DiceLoss", "")
