"""Hostile bundles are refused with a reason, and nothing in them runs; harmless ones of strangers open."""

# ruff: noqa: E501
from __future__ import annotations

import json
import os
import pickle
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medseg.bundle.recorded import digest, record
from medseg.bundle.restricted import check, leash
from medseg.errors import BundleError
from tests.bundle import toy


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return toy.write(tmp_path / "stranger")


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file that every payload below would make."""
    return tmp_path / "canary"


def _inference(bundle: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    toy.edit(bundle / "configs" / "inference.json", change)


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_a_harmless_bundle_of_a_stranger_opens_in_restricted_mode(tmp_path: Path, suffix: str) -> None:
    assert check(toy.write(tmp_path / "stranger", suffix=suffix)).full is False


def test_a_harmless_config_alone_opens_although_another_is_unusual(bundle: Path) -> None:
    unusual = {"x": "$torch.distributed.init_process_group('nccl')", "y": {"_target_": "scripts.a.B"}}
    toy.edit(bundle / "configs" / "train.json", lambda c: c.update(unusual))
    assert check(bundle, files=[bundle / "configs" / "inference.json"]).full is False


@pytest.mark.parametrize(
    "hostile",
    [
        "$open('CANARY', 'w')",
        "$import subprocess",
        "$from os import system",
        "$().__class__",
        "$(",
        {"_target_": "os.system", "command": "touch CANARY"},
    ],
)
def test_a_bundle_with_a_hostile_config_is_not_opened_for_another_one(bundle: Path, hostile: Any) -> None:
    toy.edit(bundle / "configs" / "train.json", lambda c: c.update(x=hostile))
    with pytest.raises(BundleError, match=r"configs/train\.json:\d+ x"):
        check(bundle, files=[bundle / "configs" / "inference.json"])


EXPRESSIONS = {
    "file write": "$open({!r}, 'w').write('x')",
    "file write by pathlib": "$__import__('pathlib').Path({!r}).touch()",
    "system": "$__import__('os').system('touch ' + {!r})",
    "system by an import": "$os.system('touch ' + {!r})",
    "popen": "$os.popen('touch ' + {!r}).read()",
    "subprocess": "$__import__('subprocess').call(['touch', {!r}])",
    "import in a text": "$exec('import os; os.system(\"touch \" + ' + repr({!r}) + ')')",
    "eval": "$eval('open(' + repr({!r}) + ', \"w\")')",
    "attribute walking": "$[c for c in ().__class__.__base__.__subclasses__() if c.__name__ == 'Popen'][0](['touch', {!r}])",
    "attribute walking from a reference": "$@network_def.__class__.__init__.__globals__['__builtins__']['open']({!r}, 'w')",
    "attribute walking from a helper": "$torch.device.__class__.__base__.__subclasses__()",
    "attribute walking in a format": "$'{{0.__class__}}'.format(@device)",
    "getattr": "$getattr(os, 'sys' + 'tem')('touch ' + {!r})",
    "walk through MONAI's modules": "$monai.utils.misc.subprocess.call(['touch', {!r}])",
    "torch saves": "$torch.save(1, {!r})",
    "torch loads a pickle": "$torch.load({!r}, weights_only=False)",
    "torch hub": "$torch.hub.load('a/b', 'c', source='github')",
    "numpy saves": "$np.save({!r}, 1)",
    "lambda": "$(lambda: open({!r}, 'w'))()",
    "walrus": "$(f := open)({!r}, 'w')",
    "format string": "$f'{{open({!r}, \"w\")}}'",
    "import of a module of the bundle": "$import evil",
    "from import": "$from os import system",
    "alias": "$import os as torch",
    "two statements": "$import os; open({!r}, 'w')",
    "comprehension that hides a helper": "$[len({!r}) for len in [open]]",
    "reference that becomes code": "$'@open' + {!r}",
    "local references": "$__local_refs['device']",
    "power": "$9 ** 9 ** 9",
    "long text": "$'x' * 10 ** 9",
    "padding": "$'%99999999999d' % 1",
    "shift": "$1 << 10 ** 10",
    "range": "$list(range(10 ** 12))",
    "doubled again and again": "$@d30",
    "deep": "$" + "-" * 3900 + "1",
    "loader with a reader of its own": "$@loader('x', reader='subprocess.Popen')",
    "saver with a file of its own": "$@saver(@network_def, None, {!r})",
    "class handed on and called": "$@handed({!r})",
    "function as a key": "$sorted(['x'], key=@loader)",
    "no code at all": "$(",
}  # fmt: skip


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_that_does_more_is_refused_and_does_not_run(
    bundle: Path, canary: Path, name: str
) -> None:
    text = EXPRESSIONS[name].format(str(canary)) if "{" in EXPRESSIONS[name] else EXPRESSIONS[name]
    doubled = {"d0": ["x"]} | {f"d{n}": f"$@d{n - 1} + @d{n - 1}" for n in range(1, 31)}
    handed = {
        "loader": {"_target_": "LoadImage"},
        "saver": {"_target_": "SaveImage", "output_dir": "@output_dir"},
        "handed": {"_target_": "DiceLoss", "_mode_": "callable"},
    }
    extra = doubled if "d30" in text else handed if "$@" in text else {}
    _inference(bundle, lambda config: config.update({"payload": text}, **extra))
    with pytest.raises(BundleError, match=r"inference\.json:\d+"):
        check(bundle)
    assert not canary.exists()


TARGETS = {
    "subprocess": {"_target_": "subprocess.call", "args": ["touch", "CANARY"]},
    "system": {"_target_": "os.system", "command": "touch CANARY"},
    "builtin": {"_target_": "open", "file": "CANARY", "mode": "w"},
    "builtin by its module": {"_target_": "builtins.exec", "source": "open('CANARY', 'w')"},
    "partial": {"_target_": "functools.partial", "func": "$print"},
    "callable mode": {"_target_": "subprocess.call", "_mode_": "callable", "args": ["touch", "CANARY"]},
    "debugger": {"_target_": "DiceLoss", "_mode_": "debug"},
    "through a module of MONAI": {"_target_": "monai.utils.misc.subprocess.call", "args": ["touch", "CANARY"]},
    "through a module of torch": {"_target_": "torch.nn.modules.module.torch.load", "f": "CANARY"},
    "through a module of medseg": {"_target_": "medseg.writers.nifti.Path.touch", "self": "CANARY"},
    "MONAI runs a command": {"_target_": "monai.utils.misc.run_cmd", "cmd_list": ["touch", "CANARY"]},
    "MONAI downloads": {"_target_": "monai.bundle.download", "name": "x"},
    "MONAI runs a bundle": {"_target_": "monai.bundle.run", "config_file": "CANARY"},
    "MONAI unpacks": {"_target_": "monai.apps.utils.extractall", "filepath": "CANARY"},
    "MONAI parses": {"_target_": "monai.bundle.ConfigParser", "config": {}},
    "torch loads": {"_target_": "torch.load", "f": "CANARY", "weights_only": False},
    "torch hub": {"_target_": "torch.hub.load", "repo_or_dir": "a/b", "model": "c"},
    "torch compiles C++": {"_target_": "torch.utils.cpp_extension.load_inline", "name": "x", "cpp_sources": ""},
    "TorchScript": {"_target_": "torch.jit.load", "f": "CANARY"},
    "numpy": {"_target_": "numpy.load", "file": "CANARY", "allow_pickle": True},
    "script of the bundle": {"_target_": "scripts.evil.Thing"},
    "package that is not there": {"_target_": "no_such_package.Thing"},
    "lambda transform": {"_target_": "Lambdad", "keys": "image", "func": "$print"},
    "lambda by its alias": {"_target_": "monai.transforms.LambdaDict", "keys": "image", "func": "$print"},
    "transform by name": {"_target_": "TorchVisiond", "keys": "image", "name": "Lambda", "lambd": "$print"},
    "reader by its dotted name": {"_target_": "LoadImaged", "keys": "image", "reader": "subprocess.Popen"},
    "reader by a reference": {"_target_": "LoadImaged", "keys": "image", "reader": "@evil_name"},
    "reader in a list": {"_target_": "LoadImage", "reader": ["NibabelReader", "os.system"]},
    "argument for a reader": {"_target_": "LoadImaged", "keys": "image", "reader": "NumpyReader", "allow_pickle": True},
    "writer by its dotted name": {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir", "writer": "os.system"},
    "merger by its dotted name": {"_target_": "PatchInferer", "splitter": None, "merger_cls": "subprocess.Popen"},
    "weights from the network": {"_target_": "monai.networks.nets.resnet50", "pretrained": True},
    "loss from the network": {"_target_": "PerceptualLoss", "spatial_dims": 2},
    "tracking server": {"_target_": "MLFlowHandler", "tracking_uri": "http://127.0.0.1:9"},
    "address as an argument": {"_target_": "CheckpointLoader", "load_path": "https://x.y/z.pt", "load_dict": {}},
    "weights from elsewhere": {"_target_": "CheckpointLoader", "load_path": "/etc/passwd", "load_dict": {}},
    "weights above the bundle": {"_target_": "CheckpointLoader", "load_path": "$@bundle_root + '/../x.pt'", "load_dict": {}},
    "persistent pickles": {"_target_": "PersistentDataset", "data": [], "transform": None, "cache_dir": "CANARY"},
    "writing at an absolute place": {"_target_": "SaveImaged", "keys": "pred", "output_dir": "/tmp"},
    "writing at a relative place": {"_target_": "SaveImaged", "keys": "pred", "output_dir": "./here"},
    "writing above the output": {"_target_": "SaveImaged", "keys": "pred", "output_dir": "$@output_dir + '/../..'"},
    "writing beside the output": {"_target_": "SaveImaged", "keys": "pred", "output_dir": "$os.path.join(@output_dir, '/tmp')"},
    "writing by a postfix": {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir", "output_postfix": "/../../x"},
    "writing in the bundle": {"_target_": "MetricsSaver", "save_dir": "$@bundle_root + '/x'"},
    "checkpoint elsewhere": {"_target_": "CheckpointSaver", "save_dir": "/tmp", "save_dict": {}},
    "checkpoint by its name": {"_target_": "CheckpointSaver", "save_dir": "@output_dir", "save_dict": {}, "final_filename": "../x"},
    "events elsewhere": {"_target_": "TensorBoardStatsHandler", "log_dir": "/tmp"},
    "log elsewhere": {"_target_": "LogfileHandler", "output_dir": "/tmp"},
    "label maps elsewhere": {"_target_": "medseg.writers.SaveLabelMapd", "keys": "pred", "folder": "/tmp"},
    "computed target": {"_target_": "$'os' + '.system'", "command": "touch CANARY"},
    "target by a reference": {"_target_": "@evil_name", "args": ["touch", "CANARY"]},
    "target by a macro": {"_target_": "%evil_name", "args": ["touch", "CANARY"]},
    "macro into another file": "%/etc/other.json#x",
    "macro into another YAML file": "%other.yaml",
    "hidden in a list": [[[{"a": {"_target_": "os.system", "command": "touch CANARY"}}]]],
    "requirement": {"_target_": "DiceLoss", "_requires_": "$open('CANARY', 'w')"},
    "disabled by an expression": {"_target_": "DiceLoss", "_disabled_": "$open('CANARY', 'w')"},
    "description": {"_target_": "DiceLoss", "_desc_": "$open('CANARY', 'w')"},
    "reader made when called": {"_target_": "LoadImage", "_mode_": "callable"},
    "writer handed on": {"_target_": "SaveImage", "_mode_": "callable", "output_dir": "@output_dir"},
    "mode with blanks": {"_target_": "DiceLoss", "_mode_": " debug "},
    "mode by an expression": {"_target_": "DiceLoss", "_mode_": "$'de' + 'bug'"},
    "mode by a reference": {"_target_": "DiceLoss", "_mode_": "@evil_name"},
    "name by an expression": {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir", "output_postfix": "$'/..' + '/../x'"},
    "folders kept relative to a deep one": {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir", "data_root_dir": "/a/b/c"},
    "writing at the default place": {"_target_": "SaveImaged", "keys": "pred"},
    "events at the default place": {"_target_": "TensorBoardStatsHandler"},
    "array store": {"_target_": "monai.inferers.ZarrAvgMerger", "merged_shape": [1]},
    "file of a metric": {"_target_": "MetricsSaver", "save_dir": "@output_dir", "metrics": {"../../x": 1}},
    "weights of MedicalNet": {"_target_": "monai.networks.nets.resnet.get_pretrained_resnet_medicalnet", "resnet_depth": 10},
    "private loader": {"_target_": "monai.networks.nets.densenet._load_state_dict", "arch": "densenet121"},
    "loader of medseg": {"_target_": "medseg.networks.pretrained.read", "path": "CANARY"},
    "compiled loop of medseg": {"_target_": "medseg.metrics.row_blocks.bounding_blocks", "held": [], "border": []},
    "writer of medseg": {"_target_": "medseg.training.checkpoints.write_text", "path": "CANARY", "text": "x"},
    "compiles": {"_target_": "monai.networks.layers.GaussianMixtureModel", "channel_count": 1},
    "metric that calls": {"_target_": "ignite.metrics.MetricsLambda", "f": "$len"},
    "metric that downloads": {"_target_": "ignite.metrics.FID"},
    "processes without a leash": {"_target_": "DataLoader", "dataset": "@dataset", "multiprocessing_context": "spawn"},
    "a bomb of processes": {"_target_": "DataLoader", "dataset": "@dataset", "num_workers": 100000},
    "a number beyond all sizes": {"_target_": "torch.nn.Linear", "in_features": 10**12, "out_features": 1},
    "method of a class": {"_target_": "torch.nn.Module.load_state_dict", "state_dict": {}},
    "compiled code": {"_target_": "SupervisedEvaluator", "compile": True},
    "weights that are downloaded unless told not to": {"_target_": "EfficientNetBN", "model_name": "efficientnet-b0"},
    "weights of a block by default": {"_target_": "monai.networks.blocks.MCFCN"},
    "features by default": {"_target_": "monai.networks.nets.ResNetFeatures", "model_name": "resnet10"},
    "report by its kind": {"_target_": "MetricsSaver", "save_dir": "@output_dir", "output_type": "csv/../../x"},
    "an endless file": "$monai.data.load_decathlon_datalist('/dev/zero')",
    "the process's own files": {"_target_": "LoadImaged", "keys": "image", "image_only": "/proc/self/environ"},
    "look-alike letters": {"_target_": "m\u043enai.transforms.Compose", "transforms": []},
    "full-width letters": {"_target_": "\uff4fs.system", "command": "touch CANARY"},
    "expression in full-width letters": "$\uff4f\uff50\uff45\uff4e('CANARY', 'w')",
    "MONAI's module loader": {"_target_": "monai.transforms.io.array.sys.exit"},
    "MONAI's plugin loader": {"_target_": "monai._extensions.load_module", "module_name": "x"},
    "MONAI's downloader": {"_target_": "monai.apps.download_and_extract", "url": "x"},
    "MONAI's pickled algorithm": {"_target_": "monai.auto3dseg.algo_from_pickle", "pkl_filename": "CANARY"},
    "MONAI's federated client": {"_target_": "monai.fl.client.MonaiAlgo"},
    "MONAI's writer": {"_target_": "monai.data.NibabelWriter"},
    "TensorRT": {"_target_": "monai.networks.trt_compiler.trt_compile"},
    "requirement that is built": {"_target_": "DiceLoss", "_requires_": [{"_target_": "os.system", "command": "touch CANARY"}]},
    "writer within a handler": {"_target_": "TensorBoardStatsHandler", "log_dir": "@output_dir", "summary_writer": {"_target_": "torch.utils.tensorboard.SummaryWriter", "log_dir": "CANARY"}},
    "weights by a choice that leads outside": {"_target_": "CheckpointLoader", "load_path": "$@bundle_root + '/models/' + @choice", "load_dict": {}},
    "disabled for now": {"_target_": "os.system", "_disabled_": True, "command": "touch CANARY"},
}  # fmt: skip


EVIL = {"evil_name": "subprocess.call", "choice": "$'a.pt' if 1 else '../../x.pt'"}


@pytest.mark.parametrize("name", TARGETS)
def test_a_component_that_does_more_is_refused_and_is_not_built(
    bundle: Path, canary: Path, name: str
) -> None:
    payload = json.loads(json.dumps(TARGETS[name]).replace("CANARY", str(canary)))
    _inference(bundle, lambda config: config.update(payload=payload, **EVIL))
    with pytest.raises(BundleError, match=r"inference\.json:\d+"):
        check(bundle)
    assert not canary.exists()


PATCHES = {
    "expression in the place of the metadata": {"_meta_": {"x": "$open('x', 'w')"}},
    "patch of the metadata": {"_meta_#x": "$import antigravity"},
    "merge into the metadata": {"+_meta_": {"x": {"_target_": "os.system"}}},
    "patched target": {"network_def#_target_": "os.system"},
    "patched target with colons": {"network_def::_target_": "os.system"},
    "merged target": {"+network_def": {"_target_": "os.system"}},
    "patched expression": {"evaluator#amp": "$open('x', 'w')"},
    "nested patch in a new mapping": {"deep": {"inner#_target_": "os.system"}},
}


@pytest.mark.parametrize("name", PATCHES)
def test_a_patch_in_an_overlay_is_judged_as_well(bundle: Path, name: str) -> None:
    (bundle / "configs" / "inference_trt.json").write_text(json.dumps(PATCHES[name]))
    with pytest.raises(BundleError, match="inference_trt"):
        check(bundle)


def test_code_in_the_metadata_is_refused(bundle: Path) -> None:
    # MONAI reads metadata into the config under _meta_, and runs every import that it finds there.
    toy.edit(bundle / "configs" / "metadata.json", lambda m: m.update(task="$import antigravity"))
    with pytest.raises(BundleError, match="metadata"):
        check(bundle)


def _link(bundle: Path, canary: Path) -> None:
    (bundle / "models" / "other.pt").symlink_to("/etc/passwd")


def _linked_folder(bundle: Path, canary: Path) -> None:
    (bundle / "data").symlink_to("/")


def _pipe(bundle: Path, canary: Path) -> None:
    os.mkfifo(bundle / "configs" / "train.yaml")


def _script(bundle: Path, canary: Path) -> None:
    (bundle / "scripts").mkdir()
    (bundle / "scripts" / "__init__.py").write_text(f"open({str(canary)!r}, 'w')")


def _module(bundle: Path, canary: Path) -> None:
    (bundle / "numpy.py").write_text(f"open({str(canary)!r}, 'w')")


def _site(bundle: Path, canary: Path) -> None:
    (bundle / "x.so").write_bytes(b"\x7fELF")


class Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def _pickled_weights(bundle: Path, canary: Path) -> None:
    toy.archive(bundle / "models" / "model.pt", pickle.dumps(Payload(canary), protocol=2))


def _pickled_weights_4(bundle: Path, canary: Path) -> None:
    toy.archive(bundle / "models" / "model.pt", pickle.dumps(Payload(canary), protocol=4))


def _bare_pickle(bundle: Path, canary: Path) -> None:
    (bundle / "models" / "model.pt").write_bytes(pickle.dumps(Payload(canary), protocol=2))


def _pickle_file(bundle: Path, canary: Path) -> None:
    (bundle / "models" / "cache.pkl").write_bytes(pickle.dumps(Payload(canary)))


def _torchscript_as_weights(bundle: Path, canary: Path) -> None:
    import zipfile

    with zipfile.ZipFile(bundle / "models" / "model.pt", "a") as packed:
        packed.writestr("model/code/__torch__.py", "x")


def _logging(bundle: Path, canary: Path) -> None:
    path = bundle / "configs" / "logging.conf"
    text = path.read_text().replace("class=StreamHandler", "class=FileHandler")
    path.write_text(text.replace("args=(sys.stdout,)", f"args=({str(canary)!r}, 'w')"))


def _yaml_object(bundle: Path, canary: Path) -> None:
    (bundle / "configs" / "evaluate.json").unlink()
    (bundle / "configs" / "evaluate.yaml").write_text(
        f"_target_: !!python/object/apply:os.system ['touch {canary}']"
    )


def _yaml_bomb(bundle: Path, canary: Path) -> None:
    lines = ["a0: &a0 ['@x', '@x', '@x', '@x', '@x', '@x', '@x', '@x', '@x', '@x']"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (bundle / "configs" / "evaluate.json").unlink()
    (bundle / "configs" / "evaluate.yaml").write_text("\n".join(lines))


def _reference_bomb(bundle: Path, canary: Path) -> None:
    bomb = {"b0": ["x"] * 10} | {f"b{n}": [f"@b{n - 1}"] * 10 for n in range(1, 12)}
    _inference(bundle, lambda config: config.update(bomb))


def _macro_bomb(bundle: Path, canary: Path) -> None:
    bomb = {"b0": ["x"] * 10} | {f"b{n}": [f"%b{n - 1}"] * 10 for n in range(1, 12)}
    _inference(bundle, lambda config: config.update(bomb))


def _long_chain(bundle: Path, canary: Path) -> None:
    chain = {f"b{n}": f"@b{n - 1}" for n in range(3000, 0, -1)} | {"b0": 1}
    _inference(bundle, lambda config: config.update(chain))


def _large_file(bundle: Path, canary: Path) -> None:
    entry = {
        "path": f"../../{canary.name}",
        "url": "https://example.org/x",
        "hash_val": "0",
        "hash_type": "md5",
    }
    (bundle / "large_files.yml").write_text(json.dumps({"large_files": [entry]}))


def _traversal_in_weights(bundle: Path, canary: Path) -> None:
    import zipfile

    with zipfile.ZipFile(bundle / "models" / "model.pt", "a") as packed:
        packed.writestr(f"../../{canary.name}", "x")


def _circle(bundle: Path, canary: Path) -> None:
    _inference(bundle, lambda config: config.update(x="@y", y="@x"))


def _twice(bundle: Path, canary: Path) -> None:
    path = bundle / "configs" / "inference.json"
    path.write_text(path.read_text().replace('"bundle_root": "."', '"bundle_root": ".", "bundle_root": "/"'))


def _huge(bundle: Path, canary: Path) -> None:
    with (bundle / "configs" / "inference.json").open("ab") as file:
        file.truncate(1 << 30)


def _name_that_is_no_text(bundle: Path, canary: Path) -> None:
    place = os.fsencode(bundle / "configs") + b"/\xff.json"
    with open(place, "w") as file:
        file.write('{"a": {"_target_": "os.system"}}')


def _escaped(bundle: Path, canary: Path) -> None:
    (bundle / "configs" / "other.json").write_text(
        r'{"a": "\u0024open(1)", "b": {"\u005ftarget_": "os.system"}}'
    )


def _merge_key(bundle: Path, canary: Path) -> None:
    text = "a: &a {_target_: os.system, command: 'true'}\nb:\n  <<: *a\n"
    (bundle / "configs" / "other.yaml").write_text(text)


def _own_tag(bundle: Path, canary: Path) -> None:
    text = "%TAG ! tag:yaml.org,2002:python/\n---\na: !object/apply:os.system ['true']\nb: $x\n"
    (bundle / "configs" / "other.yaml").write_text(text)


def _deep_folders(bundle: Path, canary: Path) -> None:
    (bundle / "/".join(["d"] * 60)).mkdir(parents=True)


def _mostly_a_hole(bundle: Path, canary: Path) -> None:
    with (bundle / "models" / "model.pt").open("r+b") as file:
        file.truncate(1 << 36)  # a file that is mostly a hole


def _prefix_before_the_archive(bundle: Path, canary: Path) -> None:
    path = bundle / "models" / "model.pt"
    path.write_bytes(pickle.dumps(Payload(canary), protocol=2) + path.read_bytes())


def _second_pickle(bundle: Path, canary: Path) -> None:
    import zipfile

    with zipfile.ZipFile(bundle / "models" / "model.pt", "a") as packed:
        packed.writestr("model/other.pkl", pickle.dumps(Payload(canary), protocol=2))


def _swelling_weights(bundle: Path, canary: Path) -> None:
    import zipfile

    with zipfile.ZipFile(bundle / "models" / "model.pt", "a", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("model/data/0", bytes(20 << 20))


FILES = [
    _name_that_is_no_text,
    _escaped,
    _merge_key,
    _own_tag,
    _deep_folders,
    _mostly_a_hole,
    _prefix_before_the_archive,
    _second_pickle,
    _swelling_weights,
    _link,
    _linked_folder,
    _pipe,
    _script,
    _module,
    _site,
    _pickled_weights,
    _pickled_weights_4,
    _bare_pickle,
    _pickle_file,
    _torchscript_as_weights,
    _logging,
    _yaml_object,
    _yaml_bomb,
    _reference_bomb,
    _macro_bomb,
    _long_chain,
    _large_file,
    _traversal_in_weights,
    _circle,
    _twice,
    _huge,
]


@pytest.mark.parametrize("plant", FILES, ids=lambda plant: plant.__name__.strip("_"))
def test_a_hostile_file_is_refused_and_leaves_no_trace(bundle: Path, canary: Path, plant: Any) -> None:
    plant(bundle, canary)
    before = sorted(bundle.rglob("*"))
    with pytest.raises(BundleError, match="stranger is not a bundle of ours and was not run: "):
        check(bundle)
    assert (canary.exists(), sorted(bundle.rglob("*"))) == (False, before)


def test_weights_chosen_between_two_plain_names_may_be_loaded(bundle: Path) -> None:
    def change(config: dict[str, Any]) -> None:
        config["low"] = False
        config["name"] = "$'model_lowres.pt' if @low else 'model.pt'"
        config["checkpointloader"]["load_path"] = "$@bundle_root + '/models/' + @name"

    _inference(bundle, change)
    assert check(bundle).full is False


def test_a_list_of_hashes_of_gigabytes_is_refused_unread(bundle: Path) -> None:
    with (bundle / "models" / "SHA256SUMS").open("wb") as file:
        file.truncate(1 << 33)
    with pytest.raises(BundleError, match="8589934592 bytes"):
        check(bundle)


def test_the_reason_names_the_line_and_the_way_out(bundle: Path) -> None:
    _inference(bundle, lambda config: config.update(payload="$open('x', 'w')"))
    with pytest.raises(BundleError, match=r"configs/inference\.json:\d+ payload .*a call of open.*--trust"):
        check(bundle)


def test_a_stranger_s_config_does_not_steer_the_terminal(bundle: Path) -> None:
    _inference(bundle, lambda config: config.update(payload="$open('\x1b[2J\n')"))
    with pytest.raises(BundleError, match="was not run") as caught:
        check(bundle)
    assert str(caught.value).isprintable()


def test_trust_opens_any_bundle_in_full_mode(bundle: Path) -> None:
    _inference(bundle, lambda config: config.update(payload="$open('x', 'w')"))
    assert check(bundle, trust=True).full is True


def test_a_recorded_bundle_is_full_until_something_that_could_run_is_changed(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDSEG_HOME", str(tmp_path / "home"))
    _script(bundle, tmp_path / "canary")
    record(bundle)
    assert check(bundle).full is True
    (bundle / "scripts" / "__init__.py").write_text("import os")
    with pytest.raises(BundleError, match="scripts"):
        check(bundle)


@pytest.mark.parametrize("name", ["docs/README.md", "models/model.pt", "eval/x.nii.gz"])
def test_documents_weights_and_results_do_not_change_the_digest(bundle: Path, name: str) -> None:
    before = digest(bundle)
    (bundle / name).parent.mkdir(exist_ok=True)
    (bundle / name).write_bytes(b"other")
    assert digest(bundle) == before


def test_restricted_mode_sets_every_place_to_write_below_the_output(bundle: Path, tmp_path: Path) -> None:
    overrides = check(bundle).overrides(["output_dir", "ckpt_dir", "device"], tmp_path)
    assert overrides == {"output_dir": str(tmp_path), "ckpt_dir": str(tmp_path / "models")}


def test_on_the_leash_files_below_the_output_can_be_written(tmp_path: Path) -> None:
    with leash(tmp_path / "out"):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "x").write_text("x")
    assert (tmp_path / "out" / "x").read_text() == "x"


def _on_the_leash(tmp_path: Path, what: str) -> Any:
    outside = tmp_path / "outside"
    return {
        "write": lambda: outside.write_text("x"),
        "write by os": lambda: os.open(outside, os.O_WRONLY | os.O_CREAT),
        "append": lambda: outside.open("a"),
        "remove": lambda: os.remove(tmp_path / "kept"),
        "rename": lambda: os.rename(tmp_path / "kept", outside),
        "rename into the output": lambda: os.rename(tmp_path / "kept", tmp_path / "out" / "y"),
        "make a folder": lambda: outside.mkdir(),
        "link": lambda: os.symlink("/", outside),
        "write through a link": lambda: (tmp_path / "out" / "link" / "x").write_text("x"),
        "run": lambda: subprocess.run(["touch", str(outside)], check=True),
        "system": lambda: os.system(f"touch {outside}"),
        "connect": lambda: socket.create_connection(("127.0.0.1", 9), timeout=1),
        "compiled code": lambda: (tmp_path / "__pycache__" / "x.cpython-311.pyc").write_bytes(b"x"),
        "database": lambda: sqlite3.connect(outside),
        "look up": lambda: socket.getaddrinfo("example.org", 80),
    }[what]


@pytest.mark.parametrize(
    "what",
    [
        "write",
        "write by os",
        "append",
        "remove",
        "rename",
        "rename into the output",
        "make a folder",
        "link",
        "write through a link",
        "run",
        "system",
        "connect",
        "look up",
        "compiled code",
        "database",
    ],
)
def test_on_the_leash_nothing_else_is_written_run_or_called(tmp_path: Path, what: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path)
    (tmp_path / "kept").write_text("kept")
    (tmp_path / "__pycache__").mkdir()
    before = sorted(p.name for p in tmp_path.iterdir())
    attempt = _on_the_leash(tmp_path, what)
    with pytest.raises(BundleError, match="the bundle tried to"), leash(tmp_path / "out"):
        attempt()
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_off_the_leash_everything_is_as_before(tmp_path: Path) -> None:
    with leash(tmp_path / "out"):
        pass
    (tmp_path / "x").write_text("x")
    assert subprocess.run([sys.executable, "-c", ""], check=True).returncode == 0
