"""What a stranger's bundle may name in ``_target_``: classes by defining module, functions by name.

A name counts by where it is *defined*, found in the sources: ``monai.transforms.utils.torch.load`` begins
with ``monai`` but is torch's, and is refused.
"""

from __future__ import annotations

from medseg.bundle.lint.bare_names import modules_of
from medseg.bundle.lint.packages import Definition, Missing, Packages

CLASSES = (
    "monai.transforms",
    "monai.networks.nets",
    "monai.networks.blocks",
    "monai.networks.layers",
    "monai.losses",
    "monai.inferers",
    "monai.metrics",
    "monai.engines",
    "monai.handlers",
    "monai.optimizers",
    "ignite.metrics",
    "torch.nn.modules",
    "torch.nn.parallel",
    "torch.optim",
    "medseg.transforms",
    "medseg.networks",
    "medseg.losses",
    "medseg.inference.inferer",
    "medseg.inference.mirrored",
    "medseg.postprocess",
    "medseg.metrics",
    "medseg.training",
    "medseg.writers.transform",
)
"""Modules, with all below them, whose classes may be named."""

FUNCTION_MODULES = (
    "monai.networks.nets",
    "monai.losses",
    "medseg.transforms",
    "medseg.networks",
    "medseg.losses",
    "medseg.postprocess",
    "medseg.metrics",
)
"""Modules, with all below them, whose public functions may be named too; see `_NO_FACTORY`."""

_NO_FACTORY = ("_", "get_", "load", "download", "save", "write", "read")
"""How the names of functions begin that are no factories, although they lie among them."""
_NO_FACTORY_MODULES = ("medseg.networks.pretrained", "medseg.metrics.row_blocks")

NAMES = frozenset(
    {
        "monai.data.dataset.Dataset",
        "monai.data.dataset.CacheDataset",
        "monai.data.dataset.SmartCacheDataset",
        "monai.data.dataset.ZipDataset",
        "monai.data.dataset.ArrayDataset",
        "monai.data.dataloader.DataLoader",
        "monai.data.thread_buffer.ThreadDataLoader",
        "monai.data.samplers.DistributedSampler",
        "monai.data.samplers.DistributedWeightedRandomSampler",
        "monai.data.grid_dataset.GridPatchDataset",
        "monai.data.grid_dataset.PatchDataset",
        "monai.data.grid_dataset.PatchIter",
        "monai.data.grid_dataset.PatchIterd",
        "monai.data.image_reader.NibabelReader",
        "monai.data.image_reader.ITKReader",
        "monai.data.image_reader.NrrdReader",
        "monai.data.image_reader.PILReader",
        "monai.data.image_reader.PydicomReader",
        "medseg.data.pictures.PictureReader",
        "monai.data.decathlon_datalist.load_decathlon_datalist",
        "monai.data.utils.partition_dataset",
        "monai.data.utils.list_data_collate",
        "monai.data.utils.pad_list_data_collate",
        "monai.utils.misc.set_determinism",
        "monai.handlers.utils.from_engine",
        "torch.utils.data.dataloader.DataLoader",
        "torch.utils.data.sampler.WeightedRandomSampler",
        "torch.amp.grad_scaler.GradScaler",
        "torch.cuda.amp.grad_scaler.GradScaler",
        "torch._C.device",
        "torch.random.manual_seed",
    }
)
"""Further classes and functions, by defining module and name."""

OURS = frozenset(
    {
        "medseg.bundle.bundle_root",
        "medseg.data.PictureReader",
        "medseg.data.datalist",
        "medseg.inference.scans_in",
        "medseg.evaluation.score_split",
        "medseg.training.averaged_copy",
        "medseg.training.finish",
        "medseg.training.mixed_precision",
        "medseg.training.replicated",
        "medseg.training.start",
    }
)
"""Functions and a reader of medseg outside those modules, by their public name."""

REFUSED = {
    "runs a function that it is given": [
        "Lambda",
        "Lambdad",
        "RandLambda",
        "RandLambdad",
        "TorchVision",
        "TorchVisiond",
        "RandTorchVision",
        "RandTorchVisiond",
        "TorchIO",
        "TorchIOd",
        "RandTorchIO",
        "RandTorchIOd",
        "CuCIM",
        "CuCIMd",
        "RandCuCIM",
        "RandCuCIMd",
        "ParamSchedulerHandler",
        "MetricsLambda",
        "FlexUNetEncoderRegister",
        "SimulateDelay",
        "SimulateDelayd",
    ],
    "compiles or runs a program": ["GaussianMixtureModel", "GpuInfo"],
    "talks to a server or downloads": [
        "MLFlowHandler",
        "ClearMLHandler",
        "ClearMLStatsHandler",
        "ClearMLImageHandler",
        "PerceptualLoss",
        "MedicalNetPerceptualSimilarity",
        "RadImageNetPerceptualSimilarity",
        "TorchvisionModelPerceptualSimilarity",
        "TextEncoder",
        "Transchex",
        "MultiModal",
        "TorchVisionFCModel",
        "BertPreTrainedModel",
        "MILModel",
        "CellSamWrapper",
        "MLflow",
        "FID",
        "InceptionScore",
        "FeatureExtractor",
    ],
    "writes where it likes": [
        "WriteFileMapping",
        "WriteFileMappingd",
        "ProbMapProducer",
        "TrtHandler",
        "ClassificationSaver",
        "SaveClassification",
        "SaveClassificationd",
        "ZarrAvgMerger",
        "CaseCache",
        "TensorBoard",
    ],
}
"""Names inside the allowed modules that are refused all the same, by reason."""

_WHY = {name: why for why, names in REFUSED.items() for name in names}


MAY_BE_HANDED_ON = (
    "monai.losses",
    "monai.metrics",
    "monai.networks",
    "torch.nn",
    "torch.optim",
    "medseg.losses",
    "medseg.networks",
)
"""Modules whose classes ``_mode_: callable`` may hand on unbuilt: their arguments reach no file."""


def why_not_target(target: str, packages: Packages) -> tuple[str, Definition | None]:
    """Why a stranger's ``_target_`` is refused, or ``("", its definition)``.

    A name without a dot may be defined by several modules of MONAI; all of them must be harmless.
    """
    names = [f"{m}.{target}" for m in modules_of(target)] if "." not in target else []
    for name in names or [target]:
        why, found = _why_not(name, packages)
        if why:
            return why, None
    return "", found


def _why_not(target: str, packages: Packages) -> tuple[str, Definition | None]:
    found = packages.locate(target)
    if isinstance(found, Missing):
        return f"{target} is not installed here, so nobody can tell what it does", None
    full = f"{found.module}.{found.name}"
    if found.kind not in ("class", "function") and full not in NAMES:
        return f"{target} is a {found.kind} of {found.module}", None
    if found.name in _WHY:
        return f"{target} {_WHY[found.name]}", None
    is_class = found.kind == "class"
    if full in NAMES or target in OURS or (_lies_in(found, CLASSES) if is_class else _is_factory(found)):
        return "", found
    return f"{target} ({full}) is a {found.kind} that is not on the list", None


def why_not_mode(mode: object, found: Definition) -> str:
    """Why ``_mode_`` is refused for an allowed target; empty where it is not."""
    if mode == "default":
        return ""
    if mode != "callable":
        return f"_mode_ {mode!r}"
    full = f"{found.module}.{found.name}"
    if full in NAMES or _lies_in(found, MAY_BE_HANDED_ON):
        return ""
    return f"_mode_ callable would hand on {found.name}, to be called with anything"


def _lies_in(found: Definition, modules: tuple[str, ...]) -> bool:
    return any(found.module == m or found.module.startswith(f"{m}.") for m in modules)


def _is_factory(found: Definition) -> bool:
    return (
        _lies_in(found, FUNCTION_MODULES)
        and not found.name.startswith(_NO_FACTORY)
        and not _lies_in(found, _NO_FACTORY_MODULES)
    )
