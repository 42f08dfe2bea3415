"""Downloads are resumed, checked and unpacked with distrust; the server is on this machine."""

import hashlib
import io
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from medseg.data.fetch import fetch, fetch_archives
from medseg.data.manifest import Case, Manifest
from medseg.data.transfer import check_address, download
from medseg.errors import DownloadError, OutputError

FILES = {"imagesTr/a.nii.gz": b"image" * 5000, "labelsTr/a.nii.gz": bytes(range(256)) * 300}


def archive(extra=(), files=FILES, root="Task", mode="w"):
    """A tar as the Decathlon packs it, with what Macs leave in it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, content in ({"._" + n: b"mac" for n in files} | files).items():
            member = tarfile.TarInfo(f"{root}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in extra:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return buffer.getvalue()


class Server(ThreadingHTTPServer):
    """Serves `content`; `breaks` answers stop halfway, `ranges` may be off, `status` answers come first."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.breaks, self.ranges, self.status, self.seen = b"", 0, True, [], []
        self.location = ""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        wanted = self.headers.get("Range")
        server.seen.append(wanted)
        if server.status:
            self.send_response(server.status.pop(0))
            self.send_header("Content-Length", "0")
            self.send_header("Location", server.location)
            return self.end_headers()
        start = int(wanted[6:-1]) if wanted and server.ranges else 0
        if start >= len(server.content):
            self.send_response(416)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        body = server.content[start:]
        self.send_response(206 if wanted and server.ranges else 200)
        if wanted and server.ranges:
            self.send_header(
                "Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}"
            )
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = server.breaks > 0
        server.breaks -= 1
        self.wfile.write(body[: len(body) // 2] if cut else body)
        return None

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def manifest(server, content=None, url=None):
    server.content = archive() if content is None else content
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}
    image, label = FILES
    case = Case("a", "a", (image,), label, {"image": (hashes[image],), "label": (hashes[label],)})
    return Manifest(
        name="m",
        version="1",
        channels=("MR",),
        labels={"x": 1},
        items=(case,),
        download={
            "url": url or f"http://127.0.0.1:{server.server_port}/Task.tar",
            "md5": hashlib.md5(server.content, usedforsecurity=False).hexdigest(),
            "root": "Task",
        },
    )


def everything(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_data_set_is_fetched_whole_and_nothing_else_is_left(server, tmp_path):
    seen = []
    assert fetch(manifest(server), tmp_path / "d", progress=lambda *a: seen.append(a)) == 2
    assert everything(tmp_path / "d") == FILES
    assert seen[-1] == (len(server.content), len(server.content))


def test_a_second_fetch_finds_all_in_place_and_asks_nothing(server, tmp_path):
    known = manifest(server)
    fetch(known, tmp_path)
    server.seen.clear()
    assert fetch(known, tmp_path) == 0
    assert server.seen == []


def test_a_lost_file_is_fetched_again(server, tmp_path):
    known = manifest(server)
    fetch(known, tmp_path)
    (tmp_path / "labelsTr/a.nii.gz").unlink()
    assert fetch(known, tmp_path) == 1
    assert everything(tmp_path) == FILES


def test_another_file_of_the_same_name_is_kept_unless_told(server, tmp_path):
    known = manifest(server)
    (tmp_path / "imagesTr").mkdir()
    (tmp_path / "imagesTr/a.nii.gz").write_bytes(b"mine")
    with pytest.raises(OutputError, match="not the published file"):
        fetch(known, tmp_path)
    assert (tmp_path / "imagesTr/a.nii.gz").read_bytes() == b"mine"
    assert fetch(known, tmp_path, overwrite=True) == 2
    assert everything(tmp_path) == FILES


def test_a_broken_connection_is_taken_up_where_it_broke(server, tmp_path):
    known = manifest(server)
    server.breaks = 2
    fetch(known, tmp_path, wait_s=0)
    half = len(server.content) // 2
    assert server.seen == [None, f"bytes={half}-", f"bytes={half + (len(server.content) - half) // 2}-"]
    assert everything(tmp_path) == FILES


def test_what_arrived_before_a_failure_is_used_by_the_next_command(server, tmp_path):
    known = manifest(server)
    server.breaks = 1
    with pytest.raises(DownloadError, match="run the same command again"):
        fetch(known, tmp_path, attempts=1, wait_s=0)
    assert fetch(known, tmp_path, wait_s=0) == 2
    assert server.seen == [None, f"bytes={len(server.content) // 2}-"]


def test_a_server_that_ignores_ranges_is_served_from_the_start(server, tmp_path):
    known = manifest(server)
    server.breaks, server.ranges = 1, False
    fetch(known, tmp_path, wait_s=0)
    assert everything(tmp_path) == FILES


def test_a_stale_part_is_thrown_away_and_fetched_anew(server, tmp_path):
    known = manifest(server)
    (tmp_path / ".download").mkdir()
    (tmp_path / ".download/Task.tar.part").write_bytes(b"an older version")
    assert fetch(known, tmp_path, wait_s=0) == 2
    (tmp_path / "labelsTr/a.nii.gz").unlink()
    (tmp_path / ".download").mkdir()
    (tmp_path / ".download/Task.tar.part").write_bytes(b"x" * (len(server.content) + 5))
    assert fetch(known, tmp_path, wait_s=0) == 1


def test_a_wrong_hash_is_an_error_and_leaves_nothing_behind(server, tmp_path):
    known = manifest(server)
    server.content = archive(root="Other")
    with pytest.raises(DownloadError, match="md5"):
        fetch(known, tmp_path, wait_s=0)
    assert everything(tmp_path) == {}


def test_a_busy_server_is_asked_again_and_a_missing_file_is_not(server, tmp_path):
    known = manifest(server)
    server.status = [503, 429]
    assert fetch(known, tmp_path / "a", wait_s=0) == 2
    server.status = [404]
    with pytest.raises(DownloadError, match="404"):
        fetch(known, tmp_path / "b", wait_s=0)


def test_nobody_listening_is_a_download_error(server, tmp_path):
    known = manifest(server, url="http://127.0.0.1:9/Task.tar")
    with pytest.raises(DownloadError, match="in 2 tries"):
        fetch(known, tmp_path, attempts=2, wait_s=0)


@pytest.mark.parametrize("url", ["http://example.org/a.tar", "file:///etc/passwd", "ftp://a/b", "a.tar"])
def test_an_address_that_is_not_https_is_refused(url, tmp_path):
    with pytest.raises(DownloadError, match="https"):
        check_address(url)
    with pytest.raises(DownloadError, match="https"):
        download(url, tmp_path / "a", "0" * 32)


def test_a_redirect_away_from_https_is_refused(server, tmp_path):
    known = manifest(server)
    server.status, server.location = [302], "http://example.org/Task.tar"
    with pytest.raises(DownloadError, match="https"):
        fetch(known, tmp_path, wait_s=0)


def test_a_manifest_without_a_source_says_so(tmp_path):
    with pytest.raises(DownloadError, match="names no download"):
        fetch(Manifest("m", "1", ("MR",), {"x": 1}), tmp_path)


def member(name, kind=tarfile.REGTYPE, size=0, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info


@pytest.mark.parametrize(
    "bad",
    [
        member("Task/../../evil", size=3),
        member("/evil", size=3),
        member("Task/evil", tarfile.SYMTYPE, link="/etc"),
        member("Task/evil", tarfile.LNKTYPE, link="/etc/passwd"),
        member("Task/evil", tarfile.CHRTYPE),
        member("Task/evil", tarfile.FIFOTYPE),
        member("Task\\..\\..\\evil", size=3),
    ],
)
def test_an_archive_that_means_harm_is_refused_and_writes_nothing(server, tmp_path, bad):
    with pytest.raises(DownloadError, match=r"Task\.tar"):
        fetch(manifest(server, archive([bad])), tmp_path / "d", wait_s=0)
    assert not (tmp_path / "evil").exists()
    assert not any(p for p in everything(tmp_path / "d") if not p.startswith(".download"))


def test_a_bomb_is_refused_before_it_swells(server, tmp_path):
    bomb = archive([member("Task/zeros", size=80 << 20)], mode="w:gz")
    with pytest.raises(DownloadError, match="beyond"):
        fetch(manifest(server, bomb), tmp_path, wait_s=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive(files={"imagesTr/a.nii.gz": FILES["imagesTr/a.nii.gz"]}), "1 of 2 files are not in it"),
        (archive(files=FILES | {"labelsTr/a.nii.gz": b"other"}), "has sha256"),
        (archive()[:70000], "damaged|not in it"),
        (b"no archive at all", "damaged"),
    ],
)
def test_an_archive_with_other_content_is_refused(server, tmp_path, content, message):
    with pytest.raises(DownloadError, match=message):
        fetch(manifest(server, content), tmp_path, wait_s=0)


def test_a_zip_is_unpacked_as_well_and_its_traversal_refused(server, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, content in FILES.items():
            packed.writestr(f"Task/{name}", content)
    assert fetch(manifest(server, buffer.getvalue()), tmp_path / "good", wait_s=0) == 2
    with zipfile.ZipFile(buffer, "a") as packed:
        packed.writestr("../evil", "x")
    with pytest.raises(DownloadError, match="outside"):
        fetch(manifest(server, buffer.getvalue()), tmp_path / "bad", wait_s=0)


def zipped(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{name}/ISIC_1.txt", content)
    return buffer.getvalue()


def public(entry):
    return Manifest(name="isic", version="1", channels=("red",), labels={"lesion": 1}, archives=(entry,))


def test_archives_are_unpacked_checked_and_not_fetched_twice(server, tmp_path):
    server.content = zipped(photographs="a")
    url = f"http://127.0.0.1:{server.server_port}/data.zip"
    entry = {"url": url, "sha256": hashlib.sha256(server.content).hexdigest()}
    assert fetch_archives(public(entry), tmp_path)[url].startswith("sha256 ")
    assert (tmp_path / "photographs" / "ISIC_1.txt").read_text() == "a"
    asked = len(server.seen)
    fetch_archives(public(entry), tmp_path)
    assert len(server.seen) == asked


def test_an_archive_without_a_published_hash_is_told_as_unchecked(server, tmp_path):
    server.content = zipped(photographs="a")
    url = f"http://127.0.0.1:{server.server_port}/data.zip"
    assert fetch_archives(public({"url": url}), tmp_path) == {url: "unchecked"}


def test_another_archive_than_the_published_one_is_refused(server, tmp_path):
    server.content = zipped(photographs="a")
    entry = {"url": f"http://127.0.0.1:{server.server_port}/data.zip", "sha256": "0" * 64}
    with pytest.raises(DownloadError, match="sha256"):
        fetch_archives(public(entry), tmp_path, attempts=1)
    assert not (tmp_path / "photographs").exists()


def test_data_behind_an_account_tell_where_to_register_and_how_to_lay_them(tmp_path):
    access = {"register": "https://example.org/register", "layout": ["X/X_flair.nii.gz"]}
    manifest = Manifest(name="brats", version="1", channels=("T1",), labels={"tumour": 1}, access=access)
    with pytest.raises(DownloadError, match="registered users") as error:
        fetch(manifest, tmp_path)
    assert "https://example.org/register" in str(error.value)
    assert "X/X_flair.nii.gz" in str(error.value)
