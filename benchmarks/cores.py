"""Processes on cores of their own against one alone.

python -m benchmarks.cores

Every process trains the same cohort with one thread, as the workflow's jobs do. Scaling is lane-steps a second of all
together over those of one process that has the machine to itself.
"""

from __future__ import annotations

import os
import statistics
from multiprocessing import get_context
from multiprocessing.connection import Connection

import pandas as pd
import torch

from benchmarks.measure import REPEATS, publish
from benchmarks.training import MODELS, load_images, training_program

N_STEPS = 9
CASES = (("64-128-8", 20), ("784-400-20", 5))


def work(connection: Connection, name: str, n_lanes: int) -> None:
    """Train an epoch whenever told to, and give its seconds."""
    torch.set_num_threads(1)
    images, _ = load_images(MODELS[name].dataset)
    program = training_program(MODELS[name], images, n_lanes, N_STEPS)
    program()
    connection.send("ready")
    while connection.recv():
        connection.send(sum(program() for _ in range(max(1, 40 // n_lanes))))


def scaling(name: str, n_lanes: int, n_processes: int) -> list[float]:
    """How many times as much as one process alone n processes do together, in every round."""
    context = get_context("spawn")
    pipes = [context.Pipe() for _ in range(n_processes)]
    processes = [context.Process(target=work, args=(pipe[1], name, n_lanes)) for pipe in pipes]
    for process in processes:
        process.start()
    connections = [pipe[0] for pipe in pipes]
    for connection in connections:
        connection.recv()

    def seconds(members: list[Connection]) -> list[float]:
        for connection in members:
            connection.send(True)
        return [connection.recv() for connection in members]

    rounds = []
    for _ in range(REPEATS):
        [alone] = seconds(connections[:1])
        rounds.append(sum(alone / together for together in seconds(connections)))
    for connection, process in zip(connections, processes, strict=True):
        connection.send(False)
        process.join()
    return rounds


def main() -> None:
    n_processes = os.cpu_count() or 1
    rows = []
    for name, n_lanes in CASES:
        rounds = scaling(name, n_lanes, n_processes)
        row = {"model": name, "lanes": n_lanes, "processes": n_processes, "scaling": statistics.median(rounds)}
        rows.append(row | {"lowest": min(rounds), "highest": max(rounds)})
    publish(pd.DataFrame(rows), "cores", "Processes side by side against one alone", threads=1, rounds=REPEATS)


if __name__ == "__main__":
    main()
