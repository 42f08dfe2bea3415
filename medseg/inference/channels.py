"""Files that are the channels of one scan, joined by how they are named."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from medseg.data.words import CHANNELS
from medseg.errors import DataError
from medseg.inference.cases import Case, ending_of
from medseg.inference.modalities import by_words, channel_told


def by_patterns(cases: Sequence[Case], patterns: Sequence[str]) -> list[Case]:
    """One case for each text that ``*`` stands for, its files in the order of the patterns."""
    forms = [
        re.compile(".*".join(map(re.escape, p.split("*", 1))).replace(".*", "(.+)", 1)) for p in patterns
    ]
    found: dict[tuple[Path, str], dict[int, Path]] = {}
    for case in cases:
        for i, form in enumerate(forms):
            match = form.fullmatch(case.images[0].name)
            if match:
                found.setdefault((case.images[0].parent, match.group(1)), {})[i] = case.images[0]
                break
    if not found:
        raise DataError(
            f"no scan is named as {', '.join(patterns)}", "one scan per pattern", "mend --channel"
        )
    return [_joined(name, files, len(patterns)) for (_, name), files in sorted(found.items())]


def are_told_by_files(names: Sequence[str]) -> bool:
    """True where there are several channels, each with a name that files are known to carry."""
    return len(names) > 1 and all(name.lower() in CHANNELS for name in names)


def by_names(cases: Sequence[Case], names: Sequence[str]) -> list[Case]:
    """Files whose names hold the words of these channels (``_flair``, ``-t1c``), joined; label maps left out.

    Where no file names a channel, the cases as they are: each may hold all of them.
    """
    single = [case for case in cases if len(case.images) == 1 and not case.is_series]
    joined = by_words([case.images[0] for case in single], names)
    if not joined:
        return list(cases)
    others = [case for case in cases if case not in single]
    return others + [_joined(name, dict(enumerate(files)), len(names)) for (_, name), files in joined.items()]


def by_descriptions(cases: Sequence[Case], names: Sequence[str]) -> list[Case]:
    """The DICOM series of each study joined, a channel each by what their descriptions say.

    Series that tell none of the channels are left out; a study that lacks one, or has two of one, carries
    that as its problem. Where no series tells a channel, the cases as they are.
    """
    wanted = [CHANNELS[name.lower()] for name in names]
    studies: dict[str, list[Case]] = {}
    for case in cases:
        if case.is_series and case.study and not case.more:
            studies.setdefault(case.study, []).append(case)
    told = {
        study: [c for c in own if channel_told(c.description) in wanted] for study, own in studies.items()
    }
    if not any(told.values()):
        return list(cases)
    kept = [case for case in cases if not any(case in own for own in studies.values())]
    return kept + [_of_study(study, own, wanted) for study, own in told.items() if own]


def _of_study(study: str, series: Sequence[Case], wanted: Sequence[str]) -> Case:
    by_channel: dict[str, list[Case]] = {name: [] for name in wanted}
    for case in series:
        by_channel[channel_told(case.description)].append(case)
    odd = [f"{len(own)} series for {name}" for name, own in by_channel.items() if len(own) != 1]
    chosen = [own[0] for own in by_channel.values() if own]
    # What a study is called: the folder that holds its series, or a mark where others lie there too.
    places = {case.output.parent for case in series}
    mark = hashlib.sha256(study.encode()).hexdigest()[:8]
    place = places.pop() if len(places) == 1 else chosen[0].output.parent.parent
    problem = DataError(
        f"the study has {' and '.join(odd)}",
        f"one series for each of {', '.join(wanted)}, told by SeriesDescription",
        "take a series away, or name a folder per channel in a list",
    )
    identity = tuple(sorted({word for case in series for word in case.identity}))
    more = tuple(case.images for case in chosen[1:])
    output = place / f"study_{mark}"
    return replace(
        chosen[0],
        name=output.name,
        output=output,
        more=more,
        identity=identity,
        problem=problem if odd else None,
    )


def by_numbers(cases: Sequence[Case], n_channels: int) -> list[Case]:
    """Files that end in ``_0000``, ``_0001`` and so on, joined; the others as they are."""
    found: dict[tuple[Path, str], dict[int, Path]] = {}
    single = []
    for case in cases:
        match = re.fullmatch(r"(.+)_(\d{4})" + re.escape(ending_of(case.images[0])), case.images[0].name)
        if match and len(case.images) == 1 and not case.is_series:
            found.setdefault((case.images[0].parent, match.group(1)), {})[int(match.group(2))] = case.images[
                0
            ]
        else:
            single.append(case)
    return single + [_joined(name, files, n_channels) for (_, name), files in sorted(found.items())]


def _joined(name: str, files: dict[int, Path], n_channels: int) -> Case:
    """The case of these files; one that lacks a channel carries that as its problem."""
    missing = [i for i in range(n_channels) if i not in files]
    problem = DataError(
        f"{name} lacks {len(missing)} of {n_channels} channels, by number {missing}",
        "a file for each channel",
        "add it, or name complete cases only",
    )
    images = tuple(files[i] for i in sorted(files))
    place = images[0].with_name(name + ending_of(images[0]))
    return Case(name, images, place, is_named=True, problem=problem if missing else None)
