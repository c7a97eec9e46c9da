"""A line between two programs that can be cut, held or left alone."""

import asyncio
import contextlib
import threading


class Line:
    """Listens at `address` and passes on to `target`; `mood` says how.

    "open" passes everything on, "held" keeps both directions waiting as a network does that drops packets,
    "cut" hangs up on whoever comes. `cut` hangs up on those that are there.
    """

    def __init__(self, target: str) -> None:
        self.mood = "open"
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._ends: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="line", daemon=True)
        self._thread.start()
        self.address = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def cut(self) -> None:
        """Hang up on everybody who is connected."""
        self._loop.call_soon_threadsafe(self._hang_up)

    def close(self) -> None:
        """Hang up, and listen no more."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _listen(self) -> str:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _end(self) -> None:
        self._server.close()
        self._hang_up()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _hang_up(self) -> None:
        for writer in self._ends:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = self._target.rsplit(":", 1)
        if self.mood == "cut":
            writer.transport.abort()
            return
        try:
            onward, back = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, back}
        self._ends |= ends
        both = [asyncio.create_task(self._pass_on(*pair)) for pair in ((reader, back), (onward, writer))]
        self._tasks.update(both)
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in both:
            task.cancel()
        for end in ends:
            end.transport.abort()
        self._ends -= ends
        self._tasks.difference_update(both)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                while self.mood == "held":
                    await asyncio.sleep(0.01)
                writer.write(data)
                await writer.drain()
