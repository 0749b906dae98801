"""How the service behaves under load and faults: `python -m benchmarks.load` runs, prints and writes all trials.

A trial takes a server that is ready and returns figures. The tests run the same trials in a short form.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from benchmarks.timing import write_result
from tests.support.client import Client, Outcome, connect, figures
from tests.support.server import FRONT, MODEL, Server
from tests.support.songs import Song, mutants, songs

RESULT = Path(__file__).parent / "results" / "load.json"
WARM_UP_CLIENTS = 16
RECOVERY_SECONDS = 60.0  # within which a killed worker must be replaced
BUSY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
Figures = dict[str, Any]


async def capacity(client: Client, music: Sequence[Song], seconds: float) -> float:
    """Requests a second of clients that never pause; the first half is warm-up and does not count."""
    outcomes = await client.closed_loop(music, WARM_UP_CLIENTS, seconds)
    middle = min(outcome.begin for outcome in outcomes) + seconds / 2
    return sum(middle < outcome.end <= middle + seconds / 2 for outcome in outcomes) / (seconds / 2)


async def steady(
    server: Server,
    music: Sequence[Song],
    *,
    requests: int,
    share: float = 0.7,
    connections: int = 64,
    warm_up: float = 20,
) -> Figures:
    """Requests at random times, at a share of the service's capacity."""
    async with connect(server.url, music, connections) as client:
        highest = await capacity(client, music, warm_up)
        outcomes = await client.open_loop(music, requests, share * highest)
    return {"capacity": round(highest, 1), "rate": round(share * highest, 1), **figures(outcomes)}


async def overload(server: Server, music: Sequence[Song], *, burst: int, warm_up: float = 10) -> Figures:
    """Far more requests at once than can be answered in time; then a single one."""
    async with connect(server.url, music, connections=burst) as client:
        await capacity(client, music, warm_up)
        before = await client.send(music[0])
        outcomes = await asyncio.gather(*(client.send(music[turn % len(music)]) for turn in range(burst)))
        end = time.monotonic()
        afterwards = await client.send(music[0])
    refused = [outcome for outcome in outcomes if outcome.status in BUSY]
    last_answer = max((outcome.end for outcome in outcomes if outcome.status == HTTPStatus.OK), default=0.0)
    return {
        **figures(outcomes),
        "refused": len(refused),
        "refused_before_last_answer": sum(outcome.end < last_answer for outcome in refused),
        "refused_without_retry_after": sum(not outcome.retry_after for outcome in refused),
        "slowest_refusal_ms": round(max((outcome.seconds for outcome in refused), default=0.0) * 1000, 1),
        "alone_before_ms": round(before.seconds * 1000, 1),
        "alone_afterwards_ms": round((afterwards.end - end) * 1000, 1),
        "alone_afterwards_status": afterwards.status,
    }


async def kill(server: Server, music: Sequence[Song], service: str, *, seconds: float, clients: int = 8) -> Figures:
    """A worker of a service is killed under load, and replaced; then a single request."""
    before = _count_workers(server)
    async with connect(server.url, music, clients) as client:
        load = asyncio.create_task(client.closed_loop(music, clients, seconds))
        await asyncio.sleep(seconds / 4)
        server.workers(service)[0].kill()
        killed = time.monotonic()
        outcomes = await load
        await asyncio.to_thread(_wait_for_workers, server, before)
        afterwards = await client.send(music[0])
    answered = sorted(each.end - killed for each in outcomes if each.status == HTTPStatus.OK and each.end > killed)
    failed = [each.end - killed for each in outcomes if each.status != HTTPStatus.OK]
    gaps = [after - before for before, after in zip([0.0, *answered], answered, strict=False)]
    return {
        **figures(outcomes),
        "answered_again_after_s": round(answered[0], 2) if answered else None,
        "longest_without_answer_s": round(max(gaps), 2) if gaps else None,
        "last_failure_after_s": round(max(failed), 2) if failed else None,
        "workers_before": before,
        "workers_afterwards": _count_workers(server),
        "alone_afterwards_status": afterwards.status,
    }


def _count_workers(server: Server) -> dict[str, int]:
    return {name: len(server.workers(name)) for name in (MODEL, FRONT)}


def _wait_for_workers(server: Server, counts: dict[str, int]) -> None:
    """Wait until the server has so many workers and is ready."""
    end = time.monotonic() + RECOVERY_SECONDS
    while _count_workers(server) != counts and time.monotonic() < end:
        time.sleep(0.2)
    server.wait(RECOVERY_SECONDS)


async def broken(server: Server, music: Sequence[Song], *, count: int, clients: int = 8, seed: int = 0) -> Figures:
    """Damaged files, and the memory that the workers hold after a tenth of them and at the end."""
    queue = mutants(music, count, seed)
    outcomes: list[Outcome] = []
    memory = []
    async with connect(server.url, music, clients) as client:

        async def send_until(total: int) -> None:
            for song in queue:
                outcomes.append(await client.send(song))
                if len(outcomes) >= total:
                    break

        for total in (count // 10, count):  # the first tenth fills the memory that allocators keep
            await asyncio.gather(*(send_until(total) for _ in range(clients)))
            memory.append(server.memory())
        afterwards = await client.closed_loop(music, clients, 2)
    return {
        **figures(outcomes),
        "memory_mb": [round(each / 2**20) for each in memory],
        "good_afterwards": figures(afterwards),
    }


async def slow(server: Server, music: Sequence[Song], *, slow_clients: int, seconds: float) -> Figures:
    """One ordinary client, alone and then beside clients that send a byte a second and clients that disconnect."""
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

    async def disconnect() -> None:
        while True:
            _, writer = await asyncio.open_connection(host, port)
            writer.write(head + bytes(100_000))
            await asyncio.sleep(0.05)
            writer.close()

    async with connect(server.url, music, 1) as client:
        before = await client.closed_loop(music, 1, seconds)
        others = [asyncio.create_task(act()) for act in (drip, disconnect) for _ in range(slow_clients)]
        amid = await client.closed_loop(music, 1, seconds)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
    return {"before": figures(before), "amid": figures(amid)}


async def stop(server: Server, music: Sequence[Song], *, burst: int, after: float = 0.5) -> Figures:
    """The service is terminated some seconds into a load; the last trial."""
    async with connect(server.url, music, burst) as client:
        load = [asyncio.create_task(client.send(music[turn % len(music)])) for turn in range(burst)]
        await asyncio.sleep(after)  # by then all are received and few are answered
        begin = time.monotonic()
        server.process.terminate()
        outcomes = await asyncio.gather(*load)
    code = await asyncio.to_thread(server.process.wait, 90)
    return {**figures(outcomes), "ended_after_s": round(time.monotonic() - begin, 2), "exit_code": code}


async def run_all(server: Server, args: argparse.Namespace) -> dict[str, Figures]:
    """Run all trials in turn, and print each as it ends."""
    music = songs(40, longest=10.0)
    trials: dict[str, Callable[[], Awaitable[Figures]]] = {
        "steady": lambda: steady(server, music, requests=args.requests),
        "overload": lambda: overload(server, music, burst=args.burst),
        "model killed": lambda: kill(server, music, MODEL, seconds=30),
        "front killed": lambda: kill(server, music, FRONT, seconds=30),
        "broken files": lambda: broken(server, music, count=args.broken),
        "slow clients": lambda: slow(server, music, slow_clients=20, seconds=10),
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
    largest = f"{steady['largest_difference']:.0e}"
    rows = {
        f"{steady['requests']} requests at random times, {steady['rate']} a second, 70 % of its capacity, "
        "over 64 connections": f"{_statuses(steady)}; half within {steady['p50_ms']:.0f} ms, 99 % within "
        f"{steady['p99_ms']:.0f}; probabilities differ from those of the same songs sent alone by {largest} at most",
        f"{over['requests']} requests at once": f"{_statuses(over)}; the slowest answer after "
        f"{over['slowest_ms'] / 1000:.1f} s, the slowest refusal after {over['slowest_refusal_ms'] / 1000:.1f} s; a "
        f"single request takes {over['alone_before_ms']:.0f} ms before and {over['alone_afterwards_ms']:.0f} ms after",
    }
    for name, each in killed.items():
        rows[f"a {name} process killed during {each['requests']} requests of 8 clients"] = (
            f"{_statuses(each)}; no answer for {each['longest_without_answer_s']:.1f} s"
        )
    rows[f"{files['requests']} damaged files"] = (
        f"{_statuses(files)}; the processes hold {files['memory_mb'][0]} MiB after a tenth of them, "
        f"{files['memory_mb'][1]} MiB after all"
    )
    rows["20 clients that send a byte a second, and 20 that keep disconnecting during an upload"] = (
        f"requests of another client take {slow['amid']['p50_ms']:.0f} ms instead of {slow['before']['p50_ms']:.0f}; "
        f"{_statuses(slow['amid'])}"
    )
    rows["SIGTERM during 40 requests"] = (
        f"{_statuses(results['stop'])}; ended after {results['stop']['ended_after_s']} s"
    )
    return "\n".join(
        ["| trial | result |", "|---|---|", *(f"| {trial} | {result} |" for trial, result in rows.items())]
    )


def _statuses(some: Figures) -> str:
    names = {"0": "broken connection"}
    return ", ".join(f"{count} x {names.get(status, status)}" for status, count in some["statuses"].items())


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of `python -m benchmarks.load`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000, help="requests of the steady load")
    parser.add_argument("--burst", type=int, default=3000, help="requests at once of the overload")
    parser.add_argument("--broken", type=int, default=5000, help="damaged files")
    parser.add_argument("--output", type=Path, default=RESULT, help="the JSON file to write")
    return parser.parse_args(argv)


def main() -> None:
    """Start a service, run the trials, write the figures, and stop the service."""
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
