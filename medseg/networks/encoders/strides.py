"""Which stages stride and which dilate instead, for a given output stride."""

from __future__ import annotations

from medseg.errors import MedsegError

OUTPUT_STRIDES = (8, 16, 32)


def stage_steps(output_stride: int) -> list[tuple[int, int, int]]:
    """For the stages that end at strides 8, 16 and 32: (stride, dilation of the first block, of the others).

    The first block of a stage that no longer strides keeps the dilation of the one before, as the kernel of
    a strided convolution is laid on the finer grid (Chen 2017, section 3.1; torchvision's resnet).

    >>> stage_steps(8)
    [(2, 1, 1), (1, 1, 2), (1, 2, 4)]

    Raises:
        MedsegError: an output stride other than 8, 16 and 32.
    """
    if output_stride not in OUTPUT_STRIDES:
        raise MedsegError(
            f"output_stride={output_stride}", "8, 16 or 32", "choose one of these, 16 being the usual"
        )
    steps, dilation = [], 1
    for stride in (8, 16, 32):
        before = dilation
        if stride > output_stride:
            dilation *= 2
        steps.append((1 if stride > output_stride else 2, before, dilation))
    return steps


def feature_strides(output_stride: int) -> tuple[int, ...]:
    """The strides of the five feature maps.

    >>> feature_strides(16)
    (2, 4, 8, 16, 16)
    """
    return tuple(min(s, output_stride) for s in (2, 4, 8, 16, 32))
