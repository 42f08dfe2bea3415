"""A bundle, or several of one kind, as a function from a scan to a label map."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor

from medseg.bundle.label_steps import after_steps, region_maps, whole_numbers
from medseg.bundle.runtime_choice import network_by, telling_windows
from medseg.bundle.understanding import Understood
from medseg.errors import BundleError
from medseg.inference.cases import Case, is_picture
from medseg.inference.decision import Decision
from medseg.inference.engine import Block, label_blocks, label_volume
from medseg.inference.head import Head, Prepared, network_grid, prepared
from medseg.inference.inferer import way_of
from medseg.inference.memory import Demand, Load, network_bytes, resident_bytes, ways_of_running, within
from medseg.inference.oversize import refuse_oversize, refuse_oversize_of
from medseg.inference.pipeline import write_blocks, write_strips
from medseg.inference.plan import Plan
from medseg.inference.probabilities import kept
from medseg.inference.scan import open_scan
from medseg.inference.slabs import Network, VolumeSource
from medseg.inference.torch_runtime import torch_network
from medseg.inference.wayback import UnknownGeometryError
from medseg.inference.windows import Windows
from medseg.writers import read_header, write_label_map


@dataclass
class Predictor:
    """What a bundle, or several of one kind, do to a scan; ready and warm: `to_labels` and `predict`.

    Attributes:
        preprocessing: from ``{image: path}`` to a tensor of channels on the network's grid.
        inferer: MONAI's or ours.
        modules: networks with their weights, on ``device``, in eval mode.
        runtime: ``torch``, ``onnx``, ``openvino``, ``auto`` for the fastest by measurement, or ``int8``.
        why_torch: why another runtime that was asked for is not taken.
        postprocessing: from scores to labels on the scan's own grid, without the writer.
        understood: the bundle in the engine's terms; None where its own inferer and Invertd are used.
        why_stock: what the engine does not know, where that is the reason.
        recipe: what an ensemble's bundles must agree on.
        head: the beginning of the preprocessing, where it can be done plane by plane.
        max_ram: bytes that the process may take; None for no limit.
        is_auto: a scan that the engine can't bring back goes the bundle's own way, and that is told.
        probabilities: a file that the engine puts a case's probabilities in, for `read_back`; None for none.
        watch: put around what scores a case's windows, for whoever measures the scores as they pass.
    """

    root: Path
    preprocessing: Any
    inferer: Any
    modules: list[torch.nn.Module]
    postprocessing: Any
    device: torch.device
    image_key: str = "image"
    pred_key: str = "pred"
    understood: Understood | None = None
    why_stock: str = ""
    recipe: str = ""
    head: Head | None = None
    max_ram: int | None = None
    runtime: str = "torch"
    why_torch: str = ""
    is_auto: bool = True
    probabilities: Path | None = None
    tell: Callable[[str], object] = warnings.warn
    watch: Callable[[Network], Network] = field(default=lambda network: network, repr=False)
    _measured: tuple[int, int] | None = field(default=None, repr=False)
    _networks: list[Network] = field(default_factory=list, repr=False)

    @property
    def _plan(self) -> Plan:
        """The bundle in the engine's terms; only asked for where it is known."""
        assert self.understood is not None
        return self.understood.plan

    @property
    def windows(self) -> Windows:
        """As the bundle says; one at a time on a CPU, where larger batches are slower and larger."""
        windows = self._plan.windows
        return replace(windows, batch_size=1) if self.device.type == "cpu" else windows

    @property
    def _n_scores(self) -> int:
        """Channels of scores; known once the network is measured."""
        assert self._measured is not None
        return self._measured[1]

    def predict(self, case: Case, *, overwrite: bool = False) -> Path:
        """The written label map of one case.

        Raises:
            MemoryLimitError: it can't be done within ``max_ram``.
        """
        like = case.images[0]
        write = partial(write_label_map, case.output, like=like, overwrite=overwrite)
        if self.understood is None or self.understood.rest:
            return write(self.to_labels(case.images))
        # Beside the output and not in /tmp, which may be memory.
        case.output.parent.mkdir(parents=True, exist_ok=True)
        with torch.inference_mode():
            try:
                scan, demand = self.prepared(case.images, case.output.parent)
            except UnknownGeometryError as error:
                if not self.is_auto or self.max_ram is not None:
                    raise
                self.tell(f"{case.name}: the bundle's own post-processing is used: {error.found}")
                return write(self._by_stock(case.images))
            if (numbers := self.numbers()) is None:
                return write(region_maps(self.blocks(scan, demand), scan.way.shape, self._n_scores))
            write_parts = write_blocks if demand.n_strips == 1 else write_strips
            blocks = self.blocks(scan, demand)
            return write_parts(case.output, blocks, like=like, largest=max(numbers), overwrite=overwrite)

    def to_labels(self, images: tuple[Path, ...]) -> np.ndarray:
        """The label map of one scan, shape of the scan; or (x, y, z, n) where the bundle ends in n maps."""
        if self.understood is None:
            return self._by_stock(images)
        with torch.inference_mode():
            scan, demand = self.prepared(images)
            blocks, shape = self.blocks(scan, demand), scan.way.shape
            if self.numbers():
                labels = label_volume(blocks, shape, np.uint16)
            else:
                labels = region_maps(blocks, shape, self._n_scores)
        rest = self.understood.rest
        return after_steps(rest, labels, scan.meta, self.pred_key) if rest else labels

    def prepared(self, images: tuple[Path, ...], scratch: Path | None = None) -> tuple[Prepared, Demand]:
        """The scan on the network's grid, and the way of running it within ``max_ram``."""
        if self.head is None or is_picture(images[0]) or len(read_header(images[0]).get_data_shape()) < 3:
            return self._prepared_by_monai(images)
        is_bounded = self.max_ram is not None
        scan = open_scan(images, on_disk=is_bounded, scratch=scratch)
        grid = network_grid(self.head, scan, images[0])
        if grid is None:
            del scan
            return self._prepared_by_monai(images)
        if not is_bounded:
            streamed = self.head.is_pointwise
            refuse_oversize(images[0], grid.shape, scan.n_channels, is_streamed=streamed)
        source = prepared(self.head, scan, grid, only_plan=is_bounded)
        demand = self._demand(source, scan.n_channels, self.head.is_pointwise)
        if is_bounded:
            source = prepared(self.head, scan, grid)
        return source, demand

    def preprocessed(self, images: tuple[Path, ...]) -> Any:
        """What the bundle's own preprocessing makes of the files, by its keys.

        Raises:
            GeometryError: the scan would fill the machine.
        """
        refuse_oversize_of(self.preprocessing, images[0], len(images))
        files = [str(image) for image in images]
        return self.preprocessing({self.image_key: files[0] if len(files) == 1 else files})

    def scored_by(self, inferer: Callable[..., Any], images: tuple[Path, ...]) -> Any:
        """The preprocessed scan and an inferer's scores of it, by the bundle's keys."""
        item = self.preprocessed(images)
        image = torch.as_tensor(item[self.image_key])
        with torch.inference_mode():
            scores = inferer(image[None].to(self.device), torch_network(self.modules[0]))
        item[self.pred_key] = MetaTensor(scores[0].clone(), meta=dict(item[self.image_key].meta))
        return item

    def _prepared_by_monai(self, images: tuple[Path, ...]) -> tuple[Prepared, Demand]:
        image = self.preprocessed(images)[self.image_key]
        # PILReader leaves it out: the grid of a picture is that of its pixels.
        image.meta.setdefault("original_affine", np.eye(4))
        meta = {**image.meta, "affine": image.meta["original_affine"]}
        source = Prepared(VolumeSource(torch.as_tensor(image)), way_of(image), meta)
        return source, self._demand(source, int(image.shape[0]), False)

    def _demand(self, scan: Prepared, n_inputs: int, is_streamed: bool) -> Demand:
        self._measure(n_inputs, scan.source.shape, scan)
        if self.max_ram is None:
            return Demand(False, 1, 0)
        network, n_channels = self._measured or (0, 0)
        load = Load(resident_bytes(), network, 0, n_inputs, n_channels, is_streamed, bool(self.probabilities))
        ways = ways_of_running(load, self.windows, scan.way, scan.source.shape)
        return within(self.max_ram, (way for way in ways if way.on_disk))

    def warm(self, n_inputs: int, shape: tuple[int, ...]) -> None:
        """Do now what is done once: convert the network and measure it."""
        with torch.inference_mode():
            self._measure(n_inputs, shape)

    def _measure(self, n_inputs: int, shape: tuple[int, ...], scan: Prepared | None = None) -> None:
        if self._measured is None:
            size = (self.windows.batch_size, n_inputs, *self.windows.sizes(shape))
            window = torch.zeros(size, device=self.device)
            telling = telling_windows(scan, self.windows) if scan and self.runtime == "int8" else ()
            seen = [self._inner(one.to(self.device)) for one in telling]
            self._networks = [self._network(module, self._inner(window), seen) for module in self.modules]
            self._measured = network_bytes(self._plan.scoring(self._networks), window)

    def _network(self, module: torch.nn.Module, window: torch.Tensor, seen: list[torch.Tensor]) -> Network:
        if self.why_torch:
            self.tell(self.why_torch)
        return network_by(self.runtime, module, window, seen, self._plan.decision, tell=self.tell)

    def _inner(self, window: torch.Tensor) -> torch.Tensor:
        """What the network itself is given of a window: one slice, where it is a 2D network."""
        axis = self._plan.slice_axis
        return window if axis is None else window.squeeze(axis + 2)

    def deciding(self) -> Decision:
        """The decision on the scores that `blocks` blends."""
        return self._plan.deciding(len(self.modules)).of_channels(self._n_scores)

    def numbers(self) -> tuple[int, ...] | None:
        """The label numbers there can be; None where each region is a map of its own."""
        return self.deciding().label_numbers(self._n_scores)

    def blocks(self, scan: Prepared, demand: Demand) -> Iterator[Block]:
        """The engine's blocks of one scan."""
        blocks = label_blocks(
            scan.source,
            self.watch(self._plan.scoring(self._networks)),
            self.windows,
            scan.way,
            self.deciding(),
            device=self.device,
            n_strips=demand.n_strips,
            probabilities_after=self._plan.finishing() if self.probabilities else None,
        )
        if self.probabilities is None:
            return blocks
        return kept(blocks, self.probabilities, scan.way.shape, self._n_scores)

    def _by_stock(self, images: tuple[Path, ...]) -> np.ndarray:
        if len(self.modules) > 1 or self.max_ram is not None:
            found = f"an ensemble or --max-ram, and {self.why_stock or 'the stock engine'}"
            raise BundleError(found, "bundles that the engine knows", "leave them out")
        item = self.scored_by(self.inferer, images)
        if self.postprocessing is not None:
            item = self.postprocessing(item)
        return whole_numbers(item[self.pred_key])
