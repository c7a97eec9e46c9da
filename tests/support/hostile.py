"""A registry that is not the trainer's: it gives downloads that are endless, silent, broken or right."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from protos.hds import v1

MEGABYTE = bytes(1 << 20)


class Registry(v1.RegistryServiceServicer):
    """A label that points to `version`; `mood` says how its files are given."""

    def __init__(self, checkpoints: Path, version: str) -> None:
        self.version, self.mood = version, "right"
        self.asked, self.sent = 0, 0
        self._checkpoints = checkpoints
        self._ended = threading.Event()
        self._moved = threading.Condition()
        self._server = grpc.server(ThreadPoolExecutor(8))
        v1.add_RegistryServiceServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def move(self, version: str) -> None:
        with self._moved:
            self.version = version
            self._moved.notify_all()

    def close(self) -> None:
        self._ended.set()
        with self._moved:
            self._moved.notify_all()
        self._server.stop(0.0)

    def WatchLabel(
        self, request: v1.WatchLabelRequest, context: grpc.ServicerContext
    ) -> Iterator[v1.WatchLabelResponse]:
        del request
        told: list[str] = []
        while context.is_active() and not self._ended.is_set():
            with self._moved:
                self._moved.wait_for(lambda: self._ended.is_set() or [self.version] != told)
                told[:] = [self.version]
            yield v1.WatchLabelResponse(version=self.version, task="cartpole_swingup")

    def DownloadPolicy(
        self, request: v1.DownloadPolicyRequest, context: grpc.ServicerContext
    ) -> Iterator[v1.DownloadPolicyResponse]:
        self.asked += 1
        if self.mood == "endless":
            while context.is_active():
                self.sent += len(MEGABYTE)
                yield v1.DownloadPolicyResponse(path="d/0", data=MEGABYTE)
        if self.mood == "many":
            for i in range(100_000):
                yield v1.DownloadPolicyResponse(path=f"d/{i}", data=b"x")
        root = self._checkpoints / request.version
        files = sorted(path for path in root.rglob("*") if path.is_file())
        for i, path in enumerate(files):
            if self.mood == "silent" and i == len(files) // 2:
                self._ended.wait()
            data = path.read_bytes()
            if self.mood == "broken" and i == len(files) // 2:
                data = data[: len(data) // 2]
            yield v1.DownloadPolicyResponse(path=path.relative_to(root).as_posix(), data=data)
