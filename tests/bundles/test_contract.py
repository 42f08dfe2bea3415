"""What DESIGN asks of every bundle, the demo's included."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from monai.bundle import ConfigParser, ConfigWorkflow

from medseg.bundle.lint import lint
from medseg.data.manifest import read_manifest, write_manifest
from medseg.data.phantoms import write_phantoms
from medseg.errors import ManifestError

ROOT = Path(__file__).parents[2]
BUNDLES = sorted(path.parents[1] for path in ROOT.glob("bundles/*/configs/metadata.json"))
DEMO = ROOT / "medseg" / "cli" / "demo_bundle"
ALL = [*BUNDLES, DEMO]
NAMES = [path.name for path in ALL]
every_bundle = pytest.mark.parametrize("bundle", ALL, ids=NAMES)

# Bundles whose weights are still to come; a name leaves this set with them.
UNTRAINED: set[str] = set()
SHARED = (
    "bundle_root",
    "device",
    "labels",
    "regions",
    "channels",
    "spacing_mm",
    "roi_size",
    "network_def",
    "network",
    "preprocessing",
)
TRAIN_WIRING = ("train", "validate", "averaged", "initialize", "finalize", "run", "training")
INFERENCE_WIRING = (
    "datalist",
    "dataset",
    "dataloader",
    "handlers",
    "evaluator",
    "run",
    "inferring",
)
ALLOWED = [
    r"\$len\(@\w+\)",
    r"\$@\w+ \+ '[\w/.]+'",
    r"\$torch\.device\('cuda' if torch\.cuda\.is_available\(\) else 'cpu'\)",
    r"\$@network_def\.to\(@device(, memory_format=torch\.channels_last(_3d)?)?\)",
    r"\$@network\.parameters\(\)",
    r"\$@[\w#]+\.run\(\)",
]


def config(bundle, name):
    return yaml.safe_load((bundle / "configs" / f"{name}.yaml").read_text())


def strings(value):
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


@every_bundle
def test_train_and_inference_agree_on_what_they_repeat(bundle):
    train, inference = config(bundle, "train"), config(bundle, "inference")
    assert {key: train.get(key) for key in SHARED} == {key: inference.get(key) for key in SHARED}


@every_bundle
def test_validation_and_inference_use_the_same_windows(bundle):
    assert config(bundle, "train")["validate"]["inferer"] == config(bundle, "inference")["inferer"]


@every_bundle
@pytest.mark.parametrize("name", ["train", "inference", "evaluate"])
def test_dollar_expressions_are_on_the_short_list(bundle, name):
    expressions = [text for text in strings(config(bundle, name)) if text.startswith("$")]
    assert [text for text in expressions if not any(re.fullmatch(rule, text) for rule in ALLOWED)] == []


@every_bundle
def test_wiring_is_the_same_in_every_bundle(bundle):
    train, model = config(bundle, "train"), config(DEMO, "train")
    # How windows are seen is each bundle's own: the photographs are mirrored.
    train["validate"]["inferer"] = model["validate"]["inferer"] = None
    inference, inference_model = config(bundle, "inference"), config(DEMO, "inference")
    assert {key: train[key] for key in TRAIN_WIRING} == {key: model[key] for key in TRAIN_WIRING}
    assert {key: inference[key] for key in INFERENCE_WIRING} == {
        key: inference_model[key] for key in INFERENCE_WIRING
    }
    evaluate, evaluate_model = config(bundle, "evaluate"), config(DEMO, "evaluate")
    own = {"writing": None, "preset": None}
    assert {**evaluate, **own} == {**evaluate_model, **own}


@every_bundle
def test_validation_evaluation_and_inference_make_one_label_map_of_scores(bundle):
    train, inference = config(bundle, "train"), config(bundle, "inference")
    assert train["validate"]["postprocessing"] == "@postprocessing"
    first, *writing = config(bundle, "evaluate")["writing"]["transforms"]
    assert first == "@postprocessing"
    scored = train["postprocessing"]["transforms"]
    written = [{**step, "folder": "@output_dir"} if "folder" in step else step for step in writing]
    assert inference["postprocessing"]["transforms"] == [*scored, *written]


@every_bundle
def test_what_is_scored_lies_on_the_files_own_grid(bundle):
    train = config(bundle, "train")
    assert train["validate"]["dataset"]["label_untouched"] is True
    names = [step["_target_"].rsplit(".")[-1] for step in train["postprocessing"]["transforms"]]
    assert "Invertd" in names


@every_bundle
@pytest.mark.parametrize(
    ("name", "alias"), [("train", "training"), ("inference", "inferring"), ("evaluate", "evaluating")]
)
def test_each_config_has_run_and_a_verb_of_the_same_meaning(bundle, name, alias):
    content = config(bundle, name)
    assert isinstance(content["run"], list)
    assert content[alias] == "%run"


@every_bundle
def test_metadata_labels_and_network_agree(bundle):
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    train = config(bundle, "train")
    output = metadata["network_data_format"]["outputs"]["pred"]
    image = metadata["network_data_format"]["inputs"]["image"]
    told = "regions" if "regions" in train else "labels"
    assert output["channel_def"] == {str(place): name for place, name in enumerate(train[told])}
    assert output["num_channels"] == len(train[told])
    assert image["num_channels"] == len(image["channel_def"]) == train["network_def"]["in_channels"]
    assert train["network_def"]["out_channels"] == f"$len(@{told})"
    assert train["scored"] == f"@{told}"
    assert metadata["version"] in metadata["changelog"]


@pytest.mark.parametrize("bundle", [b for b in ALL if "regions" in config(b, "train")], ids=lambda b: b.name)
def test_a_region_is_painted_with_a_number_that_no_region_inside_it_has(bundle):
    regions = config(bundle, "train")["regions"]
    steps = config(bundle, "inference")["postprocessing"]["transforms"]
    numbers = next(step["numbers"] for step in steps if step["_target_"].endswith("RegionsToLabelsd"))
    assert list(numbers) == list(regions)
    for place, name in enumerate(regions):
        inside = {number for inner in list(regions)[place + 1 :] for number in regions[inner]}
        assert numbers[name] in set(regions[name]) - inside


@every_bundle
def test_training_handlers_are_components_that_monai_label_can_read(bundle):
    assert all("_target_" in handler for handler in config(bundle, "train")["train"]["handlers"])


trained = pytest.mark.parametrize(
    "bundle", [b for b in BUNDLES if b.name not in UNTRAINED], ids=lambda b: b.name
)


@trained
def test_lint_finds_nothing_in_a_shipped_bundle(bundle):
    assert [str(finding) for finding in lint(bundle)] == []


@trained
def test_shipped_weights_are_small(bundle):
    assert 0 < (bundle / "models" / "model.pt").stat().st_size <= 20_000_000


@every_bundle
@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning")
def test_monai_finds_every_property_by_its_id(bundle, tmp_path):
    own = config(bundle, "train")
    n_axes, n_channels = len(own["roi_size"]), own["network_def"]["in_channels"]
    write_phantoms(tmp_path, 3, size=12, channels=n_channels if "regions" in own else 1, dimensions=n_axes)
    manifest = str(tmp_path / "manifest.json")
    train = ConfigWorkflow(
        workflow_type="train",
        config_file=str(bundle / "configs" / "train.yaml"),
        logging_file=False,
        manifest=manifest,
        labels=config(DEMO, "train")["labels"],
        dataset_dir=str(tmp_path),
        **({"regions": {"WT": [1, 2, 3], "TC": [1, 3], "ET": [3]}} if "regions" in own else {}),
        **({"pretrained": None} if "pretrained" in own else {}),
    )
    infer = ConfigWorkflow(
        workflow_type="infer",
        config_file=str(bundle / "configs" / "inference.yaml"),
        logging_file=False,
        dataset_dir=str(tmp_path / "images"),
        handlers=[],
    )
    for workflow in (train, infer):
        workflow.initialize()
        assert not workflow.check_properties()


def training_cases(bundle, manifest):
    parser = ConfigParser()
    parser.read_config(bundle / "configs" / "train.yaml")
    parser.update({"manifest": str(manifest), "dataset_dir": str(manifest.parent)})
    return parser.get_parsed_content("train#datalist")


several = pytest.mark.parametrize(
    "bundle", [b for b in ALL if config(b, "train")["channels"]], ids=lambda b: b.name
)


@several
def test_stock_training_takes_a_manifests_channels_by_their_names(bundle, tmp_path):
    manifest = write_phantoms(tmp_path, 3, size=8)
    assert list(read_manifest(manifest).channels) != config(bundle, "train")["channels"]
    files = [Path(name).name.split(".")[0] for name in training_cases(bundle, manifest)[0]["image"]]
    told = [name.rpartition("_")[2] for name in files]
    assert [name.lower() for name in told] == [name.lower() for name in config(bundle, "train")["channels"]]


@several
def test_stock_training_refuses_a_manifest_that_lacks_a_channel(bundle, tmp_path):
    known = read_manifest(write_phantoms(tmp_path, 3, size=8))
    renamed = replace(known, channels=("T1", "T1ce", "T2", "PD"))
    manifest = write_manifest(renamed, tmp_path / "manifest.json", overwrite=True)
    with pytest.raises(Exception) as error:  # noqa: PT011 (MONAI wraps it)
        training_cases(bundle, manifest)
    cause = error.value
    while cause.__cause__ is not None:
        cause = cause.__cause__
    assert isinstance(cause, ManifestError)
    assert "none of them FLAIR" in str(cause)


FULL = sorted(ROOT.glob("bundles/*/configs/train_full.yaml"))


@pytest.mark.parametrize("path", FULL, ids=lambda path: path.parents[1].name)
def test_full_training_is_the_same_yaml_with_other_numbers(path):
    full, train = yaml.safe_load(path.read_text()), config(path.parents[1], "train")
    assert set(full) <= set(train)
    assert {key: full["network_def"][key] for key in ("_target_", "in_channels", "out_channels")} == {
        key: train["network_def"][key] for key in ("_target_", "in_channels", "out_channels")
    }
