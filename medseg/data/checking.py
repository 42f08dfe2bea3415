"""Checking a data set: every case profiled in parallel, then each against its kind; findings worst first."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from medseg.data.cohort import cohort_findings
from medseg.data.findings import BLOCKS, SEVERITIES, Finding, UnreadableError, worst_first
from medseg.data.isolation import Reader
from medseg.data.manifest import Case, Manifest
from medseg.data.profiles import CaseProfile, Request
from medseg.errors import ManifestError

SCHEMA = Path(__file__).with_name("check.schema.json")


@dataclass(frozen=True)
class Report:
    """What a check found.

    Attributes:
        name: of the manifest.
        data: the folder.
        n_cases, n_files: how many were looked at.
        seconds: wall time.
        findings: worst first.
    """

    name: str
    data: str
    n_cases: int
    n_files: int
    seconds: float
    findings: tuple[Finding, ...]

    @property
    def blocks(self) -> bool:
        """True where something must be mended before anybody trains on it."""
        return any(f.severity == BLOCKS for f in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON; `check.schema.json` beside this file is its schema."""
        counts = Counter(f.severity for f in self.findings)
        rules = Counter(f.rule for f in self.findings)
        return {
            "manifest": self.name,
            "data": self.data,
            "n_cases": self.n_cases,
            "n_files": self.n_files,
            "seconds": round(self.seconds, 2),
            "blocks": self.blocks,
            "counts": {s: counts[s] for s in SEVERITIES},
            "rules": dict(sorted(rules.items())),
            "findings": [f.as_dict() for f in self.findings],
        }

    def fixes(self) -> list[dict[str, Any]]:
        """What to do, each once, with the files or cases it concerns; the worst first."""
        jobs: dict[tuple[str, str, str], list[str]] = {}
        for f in self.findings:
            jobs.setdefault((f.severity, f.rule, f.do), []).append(f.file or f.case or self.name)
        return [{"severity": s, "rule": r, "do": d, "where": sorted(set(w))} for (s, r, d), w in jobs.items()]


_SHOWN = 5


def format_report(report: Report) -> list[str]:
    """The report for a terminal: findings grouped by rule and counted, worst first, a few of each in full."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for f in report.findings:
        groups.setdefault((f.severity, f.rule), []).append(f)
    counts = Counter(f.severity for f in report.findings)
    head = f"{report.name}: {report.n_cases} cases, {report.n_files} files in {report.seconds:.1f} s; "
    lines = [head + (", ".join(f"{counts[s]} {s}" for s in SEVERITIES if counts[s]) or "nothing is amiss")]
    for (severity, rule), found in groups.items():
        lines.append(f"{severity:8} {rule} ({len(found)})")
        for f in found[:_SHOWN]:
            place = ": ".join(p for p in (f.case, f.file) if p)
            lines.append(f"    {place}: {f.found}; expected {f.expected}; {f.do}")
        if len(found) > _SHOWN:
            lines.append(f"    and {len(found) - _SHOWN} more; --json has them all")
    return lines


def format_fixes(report: Report) -> list[str]:
    """A list of jobs in Markdown, to be ticked off."""
    lines = [f"# What to mend in {report.name}", ""]
    for job in report.fixes():
        lines.append(f"- [ ] {job['do']} ({job['severity']}: {job['rule']}, {len(job['where'])})")
        lines += [f"  - {where}" for where in job["where"]]
    return lines if report.findings else [*lines, "Nothing."]


def check(
    manifest: Manifest,
    dataset_dir: str | os.PathLike[str],
    *,
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """What is amiss with a data set, each file taken alone and each case among its kind.

    Args:
        manifest: what should be there.
        dataset_dir: where it should be.
        workers: processes; 0 for one per core.
        progress: called with (done, total) cases.

    Raises:
        ManifestError: the folder is missing, or the manifest has no case.
    """
    root = Path(dataset_dir)
    if not root.is_dir() or not manifest.items:
        raise ManifestError(
            f"no folder {root}" if manifest.items else f"{manifest.name} has no case",
            "a folder with the cases of the manifest",
            "give the right --data, or make a manifest with `medseg data scan`",
        )
    begin = time.monotonic()
    profiles = list(profiles_of(manifest, root, workers=workers, progress=progress))
    order = {c.case: n for n, c in enumerate(manifest.items)}
    profiles.sort(key=lambda p: order[p.case])
    findings = [f for p in profiles for f in p.findings] + cohort_findings(manifest, profiles)
    n_files = sum(1 for c in manifest.items for _ in c.files())
    seconds = time.monotonic() - begin
    return Report(manifest.name, str(root), len(profiles), n_files, seconds, tuple(worst_first(findings)))


def profiles_of(
    manifest: Manifest,
    root: Path,
    *,
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
    detail: bool = False,
    hashes: bool = True,
) -> Iterator[CaseProfile]:
    """The profile of every case as it comes, not in order; each worker is a child process of its own."""
    count = min(workers or os.cpu_count() or 1, len(manifest.items))
    readers = [Reader() for _ in range(count)]
    idle: SimpleQueue[Reader] = SimpleQueue()
    for reader in readers:
        idle.put(reader)

    def one(case: Case) -> CaseProfile:
        reader = idle.get()
        try:
            return _profile(reader, _request(manifest, root, case, detail, hashes))
        finally:
            idle.put(reader)

    try:
        with ThreadPoolExecutor(count) as pool:
            waiting = [pool.submit(one, case) for case in manifest.items]
            for done, future in enumerate(as_completed(waiting), 1):
                if progress:
                    progress(done, len(waiting))
                yield future.result()
    finally:
        for reader in readers:
            reader.close()


def _request(manifest: Manifest, root: Path, case: Case, detail: bool, hashes: bool) -> Request:
    return Request(
        case.case,
        case.patient,
        case.split,
        str(root.resolve()),
        tuple(case.files()),
        len(manifest.channels),
        manifest.numbers,
        manifest.relabel,
        hashes=hashes and not detail,
        detail=detail,
    )


def _profile(reader: Reader, request: Request) -> CaseProfile:
    """The profile; after a crash once more with a process per file, to know which one it was."""
    message = {"do": "profile", "request": asdict(request), "careful": False}
    try:
        reply, _ = reader.request(message)
    except UnreadableError:
        try:
            reply, _ = reader.request(message | {"careful": True})
        except UnreadableError as error:
            lost = CaseProfile(request.case, request.patient, request.split)
            lost.findings.append(error.finding.at(request.case))
            return lost
    return CaseProfile.from_dict(reply["profile"])
