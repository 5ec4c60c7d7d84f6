"""How near an evaluation over the wire comes to the time that the place itself takes, beside the bare client."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.figures import Row, Spread

TITLE = "Answers over the wire"
GOAL = "1,000 cases with 64 at once at 500 ms an answer take at most 1 / 0.9 of the ideal; at 50 ms the figure is told"
AT_ONCE = 64
DELAYS = (0.5, 0.05)


def measure(cases: int = 1000, repeats: int = 3, delays: tuple[float, ...] = DELAYS) -> list[Row]:
    """One row a delay. The ideal is cases / 64 times the delay; ours and the bare client's runs take turns."""
    rows: list[Row] = []
    for delay in delays:
        with served(delay) as url:
            taken = [(_ours(url, cases), _bare(url, cases)) for _ in range(repeats)]
        ideal = cases / AT_ONCE * delay
        share = Spread.of([ideal / ours[0] for ours, _ in taken])
        rows.append(
            {
                "cases": cases,
                "ms an answer": round(1000 * delay),
                "ideal s": ideal,
                "s": Spread.of([ours[0] for ours, _ in taken]),
                "of the ideal": share,
                "ms of CPU a case": Spread.of([1000 * ours[1] / cases for ours, _ in taken]),
                "the bare client's s": Spread.of([bare[0] for _, bare in taken]),
                "its ms of CPU": Spread.of([1000 * bare[1] / cases for _, bare in taken]),
                "goal": "≥ 0.90" if delay >= 0.5 else "none",
                "met": share.median >= 0.9 or delay < 0.5,
            }
        )
    return rows


def _ours(url: str, cases: int) -> tuple[float, float]:
    """Seconds of the clock and of CPU of an evaluation, judging and keeping the answers included, after a warm-up."""
    import finetune_sdk as ft
    from finetune_sdk_openai import OpenAIBackend

    data = ft.Dataset.of([{"prompt": f"Is it {n}?", "completion": "It is so."} for n in range(cases)])
    with tempfile.TemporaryDirectory() as home:
        options = {"kind": "openai", "base_url": url, "at_once": AT_ONCE, "base": "m"}
        model = OpenAIBackend(ft.Place("bench", options, Path(home))).model("m")
        model.answers(["warm"] * AT_ONCE)
        evaluation = ft.Evaluation(data, [ft.ExactMatch()])
        clock, cpu = time.perf_counter(), time.process_time()
        evaluation.run(progress=False, cache=home, base=model)
        return time.perf_counter() - clock, time.process_time() - cpu


def _bare(url: str, cases: int) -> tuple[float, float]:
    """The same questions through the official client as it comes, 64 at once."""
    import openai

    async def ask() -> tuple[float, float]:
        async with openai.AsyncOpenAI(base_url=url, api_key="none") as client:
            inside = asyncio.Semaphore(AT_ONCE)

            async def one(number: int) -> None:
                turn: Any = {"role": "user", "content": f"Is it {number}?"}
                async with inside:
                    await client.chat.completions.create(model="m", messages=[turn], max_tokens=512, temperature=0)

            await asyncio.gather(*(one(n) for n in range(AT_ONCE)))
            clock, cpu = time.perf_counter(), time.process_time()
            await asyncio.gather(*(one(n) for n in range(cases)))
            return time.perf_counter() - clock, time.process_time() - cpu

    return asyncio.run(ask())


@contextmanager
def served(delay: float) -> Iterator[str]:
    """A server in a process of its own that answers each question after `delay` seconds, and all else at once."""
    command = [sys.executable, "-c", "from benchmarks.answers import serve; serve()", str(delay)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
        finally:
            server.terminate()


def serve() -> None:
    """Runs that server, and prints its port."""
    delay = float(sys.argv[1])
    said = {
        "id": "m", "object": "chat.completion", "created": 1, "model": "m", "owned_by": "bench",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "It is so."}}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
    }  # fmt: skip
    body = json.dumps(said).encode()
    answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                size = next(
                    (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0"
                )
                await reader.readexactly(int(size.split(b":")[1]))
                if head.startswith(b"POST"):
                    await asyncio.sleep(delay)
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def listen() -> None:
        server = await asyncio.start_server(talk, "127.0.0.1", 0, backlog=512)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(listen())
