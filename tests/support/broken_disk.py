"""A disk that does not keep what it was told to keep: `fsync` and `fdatasync` in chosen folders fail with EIO.

The kernel asks us about every such call of whatever was started here (seccomp's user notification: seccomp(2) and
seccomp_unotify(2), Linux 5.5 and later). A process of its own answers, so that nobody waits for a busy test:
`python -m tests.support.broken_disk <descriptor> <file>`, where the file names the folders that fail now.
"""

import ctypes
import errno
import fcntl
import os
import platform
import queue
import select
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_CALLS = {"x86_64": (317, 74, 75), "aarch64": (277, 82, 83)}
"""By machine: the numbers of seccomp, fsync and fdatasync."""
_NO_NEW_PRIVILEGES, _FILTER, _NEW_LISTENER = 38, 1, 8
_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ASK_US, _ALLOW = 0x7FC00000, 0x7FFF0000
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_GO_ON = 1
_NOTICE, _ANSWER = struct.Struct("QIIi12xQ40x"), struct.Struct("QqiI")


class BrokenDisk:
    """What is started in `run` lives on it."""

    def __init__(self, failing: Path) -> None:
        self._failing = failing
        self._failed = failing.with_suffix(".failed")
        self._work: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._listener: Future[int] = Future()
        self._filtered = threading.Thread(target=self._serve_work, name="filtered")

    @classmethod
    @contextmanager
    def mounted(cls, folder: Path) -> Iterator["BrokenDisk"]:
        disk = cls(folder / "failing")
        disk.works()
        disk._failed.touch()
        disk._filtered.start()
        listener = disk._listener.result(timeout=5)
        command = (sys.executable, "-m", "tests.support.broken_disk", str(listener), str(disk._failing))
        answering = subprocess.Popen(command, pass_fds=[listener])  # our own module
        try:
            yield disk
        finally:
            disk._work.put(None)
            disk._filtered.join()
            os.close(listener)
            answering.kill()
            answering.wait()

    def breaks(self, folder: Path) -> None:
        self._failing.write_text(str(folder))

    def works(self) -> None:
        self._failing.write_text("")

    @property
    def failed(self) -> int:
        """How many calls have failed."""
        return len(self._failed.read_text())

    def run(self, work: Callable[[], T]) -> T:
        """In the thread whose children are asked about. It lives as long as the disk, so they may depend on it."""
        done: Future[T] = Future()

        def attempt() -> None:
            try:
                done.set_result(work())
            except BaseException as error:  # noqa: BLE001  # it is raised where the result is wanted
                done.set_exception(error)

        self._work.put(attempt)
        return done.result()

    def _serve_work(self) -> None:
        try:
            self._listener.set_result(_install_filter())
        except OSError as error:
            self._listener.set_exception(error)
            return
        while (work := self._work.get()) is not None:
            work()


def _install_filter() -> int:
    """For this thread and what it starts from now on; the descriptor at which we are asked."""
    seccomp, *watched = _CALLS[platform.machine()]
    jumps = [(_IF_EQUAL, len(watched) - n, 0, number) for n, number in enumerate(watched)]
    steps = [(_LOAD, 0, 0, 0), *jumps, (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ASK_US)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("H6xP", len(steps), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    descriptor = int(libc.syscall(seccomp, _FILTER, _NEW_LISTENER, ctypes.byref(program)))
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return descriptor


def answer_all(listener: int, failing: Path) -> None:
    """Until the last of those who ask is gone."""
    waiting = select.poll()
    waiting.register(listener, select.POLLIN)
    with failing.with_suffix(".failed").open("a") as failed:
        while not any(event & (select.POLLHUP | select.POLLERR) for _, event in waiting.poll()):
            notice = bytearray(_NOTICE.size)
            try:
                fcntl.ioctl(listener, _RECEIVE, notice)
                number, thread, _, _, descriptor = _NOTICE.unpack(notice)
                is_broken = _is_broken(Path(f"/proc/{thread}/fd/{descriptor}"), failing)
                answer = (number, 0, -errno.EIO, 0) if is_broken else (number, 0, 0, _GO_ON)
                fcntl.ioctl(listener, _SEND, bytearray(_ANSWER.pack(*answer)))
            except OSError:  # who asked has died meanwhile
                continue
            if is_broken:
                failed.write("x")
                failed.flush()


def _is_broken(descriptor: Path, failing: Path) -> bool:
    folder = failing.read_text()
    try:
        return folder != "" and descriptor.readlink().is_relative_to(folder)
    except OSError:
        return False


if __name__ == "__main__":
    answer_all(int(sys.argv[1]), Path(sys.argv[2]))
