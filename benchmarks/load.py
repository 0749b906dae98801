"""How the service bears load and faults: `python -m benchmarks.load` tries it all, prints it and writes it down.

Each trial takes a server that is ready and gives figures; the tests call them in a short form.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

from benchmarks.client import Client, Outcome, connect, figures
from benchmarks.machine import machine
from benchmarks.server import FRONT, MODEL, Server
from benchmarks.songs import Song, mutants, songs
from benchmarks.timing import write_result

RESULT = Path(__file__).parent / "results" / "load.json"
WARM_CLIENTS = 16
BUSY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
Figures = dict[str, Any]


async def capacity(client: Client, music: Sequence[Song], seconds: float) -> float:
    """Requests a second of clients that never pause; those of the first half, which warm it up, do not count."""
    outcomes = await client.closed_loop(music, WARM_CLIENTS, seconds)
    middle = min(outcome.begin for outcome in outcomes) + seconds / 2
    return sum(middle < outcome.end <= middle + seconds / 2 for outcome in outcomes) / (seconds / 2)


async def steady(
    server: Server, music: Sequence[Song], *, requests: int, share: float = 0.7, connections: int = 64, warm: float = 20
) -> Figures:
    """Requests at random times, at a share of what the service can do at most."""
    async with connect(server.url, music, connections) as client:
        most = await capacity(client, music, warm)
        outcomes = await client.open_loop(music, requests, share * most)
    return {"capacity": round(most, 1), "rate": round(share * most, 1), **figures(outcomes)}


async def overload(server: Server, music: Sequence[Song], *, burst: int, warm: float = 10) -> Figures:
    """Far more requests at once than can be answered in time; then one alone."""
    async with connect(server.url, music, connections=burst) as client:
        await capacity(client, music, warm)
        usual = await client.send(music[0])
        outcomes = await asyncio.gather(*(client.send(music[turn % len(music)]) for turn in range(burst)))
        end = time.monotonic()
        afterwards = await client.send(music[0])
    refused = [outcome for outcome in outcomes if outcome.status in BUSY]
    return {
        **figures(outcomes),
        "refused": len(refused),
        "refused_without_retry_after": sum(not outcome.retry_after for outcome in refused),
        "slowest_refusal_ms": round(max((outcome.seconds for outcome in refused), default=0.0) * 1000, 1),
        "alone_before_ms": round(usual.seconds * 1000, 1),
        "alone_afterwards_ms": round((afterwards.end - end) * 1000, 1),
        "alone_afterwards_status": afterwards.status,
    }


async def kill(server: Server, music: Sequence[Song], service: str, *, seconds: float, clients: int = 8) -> Figures:
    """A worker of a service killed in mid-load."""
    async with connect(server.url, music, clients) as client:
        load = asyncio.create_task(client.closed_loop(music, clients, seconds))
        await asyncio.sleep(seconds / 4)
        server.workers(service)[0].kill()
        killed = time.monotonic()
        outcomes = await load
    answered = sorted(each.end - killed for each in outcomes if each.status == HTTPStatus.OK and each.end > killed)
    failed = [each.end - killed for each in outcomes if each.status != HTTPStatus.OK]
    gaps = [after - before for before, after in zip([0.0, *answered], answered, strict=False)]
    return {
        **figures(outcomes),
        "answered_again_after_s": round(answered[0], 2) if answered else None,
        "longest_without_answer_s": round(max(gaps), 2) if gaps else None,
        "last_failure_after_s": round(max(failed), 2) if failed else None,
        "workers_afterwards": {name: len(server.workers(name)) for name in (MODEL, FRONT)},
    }


async def broken(server: Server, music: Sequence[Song], *, count: int, clients: int = 8, seed: int = 0) -> Figures:
    """Broken files, and the memory that the workers held after a tenth of them and at the end."""
    queue = mutants(music, count, seed)
    outcomes: list[Outcome] = []
    memory = []
    async with connect(server.url, music, clients) as client:

        async def one(number: int) -> None:
            for song in queue:
                outcomes.append(await client.send(song))
                if len(outcomes) >= number:
                    break

        for number in (count // 10, count):  # the first fill what allocators keep
            await asyncio.gather(*(one(number) for _ in range(clients)))
            memory.append(server.memory())
        afterwards = await client.closed_loop(music, clients, 2)
    return {
        **figures(outcomes),
        "memory_mb": [round(each / 2**20) for each in memory],
        "good_afterwards": figures(afterwards),
    }


async def slow(server: Server, music: Sequence[Song], *, tormentors: int, seconds: float) -> Figures:
    """Clients that send a byte a second, and others that leave in the middle, while one asks in earnest."""
    host, port = "127.0.0.1", server.port
    head = (
        b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        b"Content-Length: 1000000\r\n\r\n"
    )

    async def drip() -> None:
        _, writer = await asyncio.open_connection(host, port)
        writer.write(head)
        while True:
            writer.write(b"-")
            await asyncio.sleep(1)

    async def leave() -> None:
        while True:
            _, writer = await asyncio.open_connection(host, port)
            writer.write(head + bytes(100_000))
            await asyncio.sleep(0.05)
            writer.close()

    async with connect(server.url, music, 1) as client:
        before = await client.closed_loop(music, 1, seconds)
        torment = [asyncio.create_task(act()) for act in (drip, leave) for _ in range(tormentors)]
        amid = await client.closed_loop(music, 1, seconds)
        for task in torment:
            task.cancel()
        await asyncio.gather(*torment, return_exceptions=True)
    return {"before": figures(before), "amid": figures(amid)}


async def stop(server: Server, music: Sequence[Song], *, burst: int, after: float = 0.5) -> Figures:
    """The service told to stop so many seconds into a load; the last trial."""
    async with connect(server.url, music, burst) as client:
        load = [asyncio.create_task(client.send(music[turn % len(music)])) for turn in range(burst)]
        await asyncio.sleep(after)  # all of them are received by then, few are answered
        begin = time.monotonic()
        server.process.terminate()
        outcomes = await asyncio.gather(*load)
    code = await asyncio.to_thread(server.process.wait, 90)
    return {**figures(outcomes), "ended_after_s": round(time.monotonic() - begin, 2), "exit_code": code}


async def run_all(server: Server, args: argparse.Namespace) -> dict[str, Figures]:
    """All trials, one after another, each printed as it ends."""
    music = songs(40, longest=10.0)
    trials: dict[str, Callable[[], Awaitable[Figures]]] = {
        "steady": lambda: steady(server, music, requests=args.requests),
        "overload": lambda: overload(server, music, burst=args.burst),
        "model killed": lambda: kill(server, music, MODEL, seconds=30),
        "front killed": lambda: kill(server, music, FRONT, seconds=30),
        "broken files": lambda: broken(server, music, count=args.broken),
        "slow clients": lambda: slow(server, music, tormentors=20, seconds=10),
        "stop": lambda: stop(server, music, burst=40),
    }
    results = {}
    for name, trial in trials.items():
        results[name] = await trial()
        print(f"\n{name}", *(f"  {key:<28}{value}" for key, value in results[name].items()), sep="\n", flush=True)
    return results


def table(results: dict[str, Figures]) -> str:
    """The results as the Markdown table of docs/serving.md."""
    steady, over, files, slow = (results[name] for name in ("steady", "overload", "broken files", "slow clients"))
    killed = {name: results[f"{name} killed"] for name in ("model", "front")}
    most = f"{steady['largest_difference']:.0e}"
    rows = {
        f"{steady['requests']} requests at random times, {steady['rate']} a second, 70 % of its capacity, "
        "over 64 connections": f"{_statuses(steady)}; half within {steady['p50_ms']:.0f} ms, 99 % within "
        f"{steady['p99_ms']:.0f}; probabilities differ from those given alone by {most} at most",
        f"{over['requests']} requests at once": f"{_statuses(over)}; the slowest answer after "
        f"{over['slowest_ms'] / 1000:.1f} s, the slowest refusal after {over['slowest_refusal_ms'] / 1000:.1f} s; one "
        f"alone takes {over['alone_before_ms']:.0f} ms before, {over['alone_afterwards_ms']:.0f} ms right afterwards",
    }
    for name, each in killed.items():
        rows[f"a process of the {name} killed amid {each['requests']} requests of 8 clients"] = (
            f"{_statuses(each)}; for {each['longest_without_answer_s']:.1f} s no answer"
        )
    rows[f"{files['requests']} broken files"] = (
        f"{_statuses(files)}; the processes hold {files['memory_mb'][0]} MiB after a tenth of them, "
        f"{files['memory_mb'][1]} MiB after all"
    )
    rows["20 clients that send a byte a second, and 20 that leave in the middle, over and over"] = (
        f"another one's requests take {slow['amid']['p50_ms']:.0f} ms instead of {slow['before']['p50_ms']:.0f}; "
        f"{_statuses(slow['amid'])}"
    )
    rows["SIGTERM amid 40 requests"] = f"{_statuses(results['stop'])}; ended after {results['stop']['ended_after_s']} s"
    return "\n".join(["| what | came of it |", "|---|---|", *(f"| {what} | {came} |" for what, came in rows.items())])


def _statuses(some: Figures) -> str:
    names = {"0": "broken connection"}
    return ", ".join(f"{count} x {names.get(status, status)}" for status, count in some["statuses"].items())


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of `python -m benchmarks.load`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000, help="of the steady load")
    parser.add_argument("--burst", type=int, default=3000, help="requests at once of the overload")
    parser.add_argument("--broken", type=int, default=5000, help="broken files")
    parser.add_argument("--output", type=Path, default=RESULT, help="the JSON file to write")
    return parser.parse_args(argv)


def main() -> None:
    """Start a service, try it, write the figures, and end it."""
    args = parse_args()
    with tempfile.TemporaryDirectory() as home:
        server = Server(Path(home))
        try:
            print(f"ready after {server.wait():.1f} s", flush=True)
            results = asyncio.run(run_all(server, args))
        finally:
            if server.process.poll() is None:
                server.stop()
    about = machine("bentoml", "onnxruntime-gpu", "onnxruntime", "soundfile")
    write_result(args.output, {**results, "machine": about})
    print(f"\n{table(results)}")


if __name__ == "__main__":
    main()
