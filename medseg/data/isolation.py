"""A child process that reads what may crash, with limits on memory and time; a crash costs one file."""

from __future__ import annotations

import json
import os
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from medseg.data.findings import Finding, UnreadableError, unreadable

MEMORY_MB, TIME_S = 6144, 120.0


class Reader:
    """A child process that is started at the first request and again after a crash; close it when done."""

    def __init__(
        self, memory_mb: int = MEMORY_MB, time_s: float = TIME_S, command: tuple[str, ...] = ()
    ) -> None:
        self.time_s = time_s
        self.command = command or (sys.executable, "-m", "medseg.data.child", str(memory_mb))
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def ask(self, do: str, paths: list[str]) -> tuple[dict[str, Any], bytearray]:
        """The child's reply and the array's bytes.

        Raises:
            UnreadableError: the file gives no image, or the child crashed or took too long over it.
        """
        reply, payload = self.request(
            {"do": do, "paths": [p if p.startswith("#") else str(Path(p).absolute()) for p in paths]}
        )
        found = [Finding(**f) for f in reply.get("findings", [])]
        return reply | {"findings": found}, payload

    def request(self, what: dict[str, Any]) -> tuple[dict[str, Any], bytearray]:
        """The child's reply to any request, as it came.

        Raises:
            UnreadableError: the child says that it failed, crashed or took too long.
        """
        with self._lock:
            child = self._started()
            line = json.dumps(what) + "\n"
            deadline = time.monotonic() + self.time_s
            try:
                assert child.stdin is not None
                child.stdin.write(line.encode())
                child.stdin.flush()
                sizes = struct.unpack("<QQ", self._receive(child, 16, deadline))
                reply = json.loads(bytes(self._receive(child, sizes[0], deadline)))
                payload = self._receive(child, sizes[1], deadline)
            except (EOFError, BrokenPipeError):
                raise UnreadableError(unreadable(f"its reader {_end(child)}")) from None
            except TimeoutError:
                raise UnreadableError(unreadable(f"reading it took over {self.time_s:g} s")) from None
            finally:
                if sys.exc_info()[0] is not None:
                    self._stop()
        if "failed" in reply:
            raise UnreadableError(Finding(**reply["failed"]))
        return reply, payload

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._stop()

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            self._stop()
            package = str(Path(__file__).parents[2])
            path = os.pathsep.join(p for p in (package, os.environ.get("PYTHONPATH", "")) if p)
            threads = "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"
            self._child = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": path, threads: "1", "OMP_NUM_THREADS": "1"},
            )
        return self._child

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    _close(pipe)

    @staticmethod
    def _receive(child: subprocess.Popen[bytes], size: int, deadline: float) -> bytearray:
        assert child.stdout is not None
        pipe, got = child.stdout.fileno(), bytearray(size)
        view, filled = memoryview(got), 0
        while filled < size:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                raise TimeoutError
            n = os.readv(pipe, [view[filled : filled + (1 << 20)]])
            if n == 0:
                raise EOFError
            filled += n
        return got


def _close(pipe: Any) -> None:
    try:
        pipe.close()
    except BrokenPipeError:
        # What was still buffered for a dead child is of no use to anybody.
        return


def _end(child: subprocess.Popen[bytes]) -> str:
    code = child.wait()
    try:
        return f"crashed ({signal.Signals(-code).name})" if code < 0 else f"ended with code {code}"
    except ValueError:
        return f"crashed ({code})"


def as_array(reply: dict[str, Any], payload: bytearray) -> np.ndarray[Any, np.dtype[Any]]:
    """The array of a reply."""
    return np.frombuffer(payload, np.dtype(reply["dtype"])).reshape(reply["shape"])
