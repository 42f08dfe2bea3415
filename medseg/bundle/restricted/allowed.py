"""What a stranger's bundle may name in ``_target_``: classes by defining module, functions by name.

A name counts by where it is *defined*, found in the sources: ``monai.transforms.utils.torch.load`` begins
with ``monai`` but is torch's, and is refused.
"""

from __future__ import annotations

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
    "medseg.inference",
    "medseg.postprocess",
    "medseg.metrics",
    "medseg.training",
    "medseg.writers",
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
    "medseg.training",
    "medseg.evaluation",
)
"""Modules, with all below them, whose functions may be named too."""

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

OURS = frozenset({"medseg.bundle.bundle_root", "medseg.data.datalist", "medseg.inference.scans_in"})
"""Functions of medseg outside those modules, by their public name."""

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
        "ParameterScheduler",
        "SimulateDelay",
        "SimulateDelayd",
    ],
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
        "MILModel",
        "CellSamWrapper",
    ],
    "writes where it likes": [
        "WriteFileMapping",
        "WriteFileMappingd",
        "ProbMapProducer",
        "TrtHandler",
        "ClassificationSaver",
    ],
}
"""Names inside the allowed modules that are refused all the same, by reason."""

_WHY = {name: why for why, names in REFUSED.items() for name in names}


def why_not_target(target: str, packages: Packages) -> tuple[str, Definition | None]:
    """Why a stranger's ``_target_`` is refused, or ``("", its definition)``."""
    found = packages.locate(target)
    if isinstance(found, Missing):
        return f"{target} is not installed here, so nobody can tell what it does", None
    full = f"{found.module}.{found.name}"
    if found.kind not in ("class", "function") and full not in NAMES:
        return f"{target} is a {found.kind} of {found.module}", None
    if found.name in _WHY:
        return f"{target} {_WHY[found.name]}", None
    allowed = CLASSES if found.kind == "class" else FUNCTION_MODULES
    if (
        full in NAMES
        or target in OURS
        or any(found.module == m or found.module.startswith(f"{m}.") for m in allowed)
    ):
        return "", found
    return f"{target} ({full}) is a {found.kind} that is not on the list", None
