"""One file from an address: https alone, resumed where it broke off, checked against its published hash."""

from __future__ import annotations

import http.client
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

from medseg.errors import DownloadError
from medseg.hashes import file_hash

Progress = Callable[[int, int], None]
_BLOCK = 1 << 20
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def download(
    url: str,
    target: Path,
    digest: str,
    *,
    algorithm: str = "md5",
    progress: Progress | None = None,
    attempts: int = 5,
    wait_s: float = 2.0,
) -> None:
    """Put the file at `url` to `target`, which then has this hash; what lies in ``target.part`` is resumed.

    A part that leads to a wrong hash is thrown away and fetched whole once more, as it may stem from an
    earlier version of the file.

    Raises:
        DownloadError: the address is not https, the server fails `attempts` times, or the hash is wrong.
    """
    check_address(url)
    if target.exists() and digest in ("", file_hash(target, algorithm)):
        return
    part = target.with_name(target.name + ".part")
    for fresh in (False, True):
        resumed = not fresh and part.exists() and part.stat().st_size > 0
        if fresh:
            part.unlink(missing_ok=True)
        _transfer(url, part, progress, attempts, wait_s)
        if (found := file_hash(part, algorithm)) == (digest or found):
            part.replace(target)
            return
        if not resumed:
            break
    part.unlink()
    raise DownloadError(
        f"{url} has {algorithm} {found}",
        f"the published {digest}",
        "try again later; if it stays so, the file was changed",
    )


def check_address(url: str) -> None:
    """Pass an https address, or http to this very machine.

    Raises:
        DownloadError: anything else.
    """
    address = urllib.parse.urlparse(url)
    if address.scheme == "https" or (address.scheme == "http" and address.hostname in _LOOPBACK):
        return
    raise DownloadError(f"the address {url}", "https", "use the https address of the source")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect to another https address alone."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        check_address(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _transfer(url: str, part: Path, progress: Progress | None, attempts: int, wait_s: float) -> None:
    """Fill `part` to the server's full length, trying again from where the connection broke."""
    problem = ""
    for attempt in range(attempts):
        if attempt:
            time.sleep(wait_s * attempt)
        try:
            done, total = _stream(url, part, progress)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code < 500 and error.code not in (408, 429):
                raise DownloadError(
                    f"{url} answers {error.code} {error.reason}", "the file", "check the address"
                ) from None
            problem = f"{error.code} {error.reason}"
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            problem = str(getattr(error, "reason", "") or error) or type(error).__name__
        else:
            if total < 0 or done >= total:
                return
            problem = f"the connection broke at {done} of {total} bytes"
    raise DownloadError(
        f"no luck with {url} in {attempts} tries: {problem}",
        "the whole file",
        "run the same command again; what has arrived is kept",
    )


def _stream(url: str, part: Path, progress: Progress | None) -> tuple[int, int]:
    """Bytes now in `part` and bytes of the whole file (-1 where the server does not tell)."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "medseg", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    opener = urllib.request.build_opener(_Redirects)
    try:
        response = opener.open(request, timeout=60)
    except urllib.error.HTTPError as error:
        # 416: nothing lies beyond what is there, so the file is complete or a wrong one; the hash will tell.
        if error.code == 416 and have:
            error.close()
            return have, have
        raise
    with response:
        begins = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if response.status != 206 or not begins:
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else -1
        _room(part, total - have)
        with part.open("ab" if have else "wb") as stream:
            while block := response.read(_BLOCK):
                stream.write(block)
                have += len(block)
                if progress:
                    progress(have, total)
    return have, total


def _room(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise DownloadError(
            f"{free >> 20} MiB free at {part.parent}",
            f"{needed >> 20} MiB",
            "make room or choose another folder",
        )
