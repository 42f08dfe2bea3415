"""Cases that go by a name made of their content, so that nothing of an input's path is written or said."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from medseg.data.layouts import files_below
from medseg.data.nifti import pair_of
from medseg.errors import OutputError
from medseg.inference.cases import Case, ending_of

COLUMNS = ("case", "input")
# Of a slice, its UIDs at the start and pixels of its middle: CTs are too large to be read twice for a name.
_PART = 4096
_BLOCK = 1 << 20
_DATA_FILE = re.compile(rb"(?im)^(?:ElementDataFile *=|data ?file:) *(\S[^\r\n]*?) *\r?$")


def hidden(cases: Sequence[Case]) -> list[Case]:
    """The cases under names of their content: ``case_`` and twelve characters of a SHA-256.

    Equal scans get the same name, told apart by ``_2``, ``_3``: their label maps are equal, too. What can't
    be read goes by the name of nothing, and has no label map.
    """
    unique = {(case.images, case.more): case for case in cases}.values()
    marked = sorted(((_mark(case), case) for case in unique), key=lambda one: (one[0], one[1].images))
    taken: dict[str, int] = {}
    renamed = []
    for mark, case in marked:
        taken[mark] = taken.get(mark, 0) + 1
        name = f"case_{mark}" + (f"_{taken[mark]}" if taken[mark] > 1 else "")
        renamed.append(replace(case, name=name, output=Path("/", name), is_named=True, unsaid=_unsaid(case)))
    return renamed


def _mark(case: Case) -> str:
    """Of each channel in turn; of a series whatever its files are called and ordered."""
    total = hashlib.sha256()
    if case.is_series:
        for series in (case.images, *case.more):
            total.update(b"".join(sorted(_digest(file, in_part=True) for file in series)))
    else:
        for image in case.images:
            total.update(b"".join(_digest(file) for file in _files_of(image)) + b"/")
    return total.hexdigest()[:12]


def _digest(path: Path, *, in_part: bool = False) -> bytes:
    """Of a file's length and its bytes, or some of them; of nothing where it can't be read."""
    total = hashlib.sha256()
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            total.update(b"%d " % size)
            if in_part:
                total.update(file.read(_PART))
                file.seek(size // 2)
                total.update(file.read(_PART))
            while not in_part and (block := file.read(_BLOCK)):
                total.update(block)
    except OSError:
        return hashlib.sha256().digest()
    return total.digest()


def _files_of(image: Path) -> list[Path]:
    """What holds a scan: its file, and the data file of its header; all files of a folder."""
    if image.is_dir():
        return sorted(files_below(image))
    if image.name.lower().endswith((".mhd", ".nhdr")) and image.is_file():
        named = _DATA_FILE.search(image.read_bytes()[:_BLOCK])
        data = image.with_name(os.fsdecode(named[1])) if named else image
        # A list or a pattern of files: any file beside it may be one.
        return [image, data] if data.is_file() else [image, *sorted(files_below(image.parent))]
    return list(dict.fromkeys((*pair_of(image), image)))


def _unsaid(case: Case) -> tuple[str, ...]:
    """Every path of the case, their parts and what it was called, longest first."""
    files = [file for image in case.images for file in (_files_of(image) if not case.is_series else [image])]
    files += [file for series in case.more for file in series]
    files += [case.archive] if case.archive else []
    words = {case.name, case.output.name, _stem(case.output)} | {
        str(place) for file in files for place in (file, file.parent)
    }
    words |= {part for file in files for part in (*file.parts, _stem(file))}
    kept = (word for word in words if len(word) > 1 and not (word.isdigit() and len(word) < 4))
    return tuple(sorted(kept, key=lambda word: (-len(word), word)))


def _stem(path: Path) -> str:
    return path.name[: len(path.name) - len(ending_of(path))]


def linked(files: Sequence[Path], folder: Path) -> tuple[Path, ...]:
    """The files under neutral names, for libraries that log names: links, or copies where none can be.

    Those that lie in ``folder`` already are given as they are.
    """
    return tuple(_linked(file, folder, number) for number, file in enumerate(files))


def _linked(file: Path, folder: Path, number: int) -> Path:
    if folder in file.parents:
        return file
    for part in dict.fromkeys((*pair_of(file), file)):
        new = folder / f"input_{number}{ending_of(part)}"
        try:
            new.symlink_to(part)
        except OSError:
            shutil.copyfile(part, new)
    return folder / f"input_{number}{ending_of(file)}"


def write_key(path: Path, cases: Sequence[Case], folder: Path, *, overwrite: bool = False) -> Path:
    """The path of a table for its owner's eyes (mode 0600) that says which case is which input.

    A table that holds nothing else is written anew, so that the same command goes on.

    Raises:
        OutputError: it would lie among the results, or replace something else and ``overwrite`` is False.
    """
    if folder.resolve() in path.resolve().parents:
        raise OutputError(f"{path} lies in the output folder", "a place of its own", "change --names-key")
    new = io.StringIO(newline="")
    csv.writer(new).writerows([COLUMNS, *(row for case in cases for row in _rows(case))])
    try:
        if not overwrite and path.exists() and set(_lines(path)) - set(new.getvalue().splitlines()):
            found = f"{path} holds other lines than this run's"
            raise OutputError(found, "a new file", "name another --names-key, or say --overwrite")
        partial = path.with_name(f".{path.name}.{os.getpid()}.part")
        partial.unlink(missing_ok=True)
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(os.fsencode(new.getvalue()))
        partial.replace(path)
    except OSError as error:
        found = f"{path}: {error.strerror}"
        raise OutputError(found, "a file that can be written", "change --names-key") from error
    return path


def _lines(path: Path) -> list[str]:
    return os.fsdecode(path.read_bytes()).splitlines()


def _rows(case: Case) -> Iterator[tuple[str, str]]:
    """A row for each file; for the first file of each series."""
    files = [series[0] for series in (case.images, *case.more)] if case.is_series else case.images
    for file in files:
        inside = next((str(file.relative_to(p)) for p in file.parents if p.name.startswith(".unpacked-")), "")
        yield case.name, f"{case.archive}#{inside}" if case.archive and inside else str(file)
