"""Paired timing of functions, peak memory of a process, and a description of the machine."""

import gc
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

PACKAGES = ("numpy", "torch", "faiss-cpu", "numba")
MEGABYTE = 1e6


@dataclass(frozen=True)
class Times:
    """Seconds of one function, one entry a repetition: of the process on all threads (user and system), and by the
    clock."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)


def paired(
    functions: Mapping[str, Callable[[], Any]], *, repeats: int, warm: bool = True
) -> tuple[dict[str, Times], dict[str, Any]]:
    """Run the functions in turn, A B A B, so that a change of the machine's pace meets all of them alike.

    Args:
        repeats: rounds that are timed.
        warm: run each function once before, untimed.

    Returns:
        The times, and what each function returned last; by name.
    """
    times, results = {name: Times() for name in functions}, {}
    for timed in [False] * warm + [True] * repeats:
        for name, function in functions.items():
            results.pop(name, None)
            gc.collect()
            wall, cpu = time.perf_counter(), time.process_time()
            results[name] = function()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            if timed:
                times[name].cpu.append(cpu)
                times[name].wall.append(wall)
    return times, results


def ratios(one: Times, other: Times) -> dict[str, list[float]]:
    """[median, least, largest] of one's time by the other's in the same round, for "cpu" and "wall"."""
    ratios_by_clock = {}
    for clock in ("cpu", "wall"):
        by_round = [a / b for a, b in zip(getattr(one, clock), getattr(other, clock), strict=True)]
        ratios_by_clock[clock] = [median(by_round), min(by_round), max(by_round)]
    return ratios_by_clock


def resident_bytes(peak: bool) -> int:
    """Memory of this process that is in RAM, now or at its highest so far. Linux only."""
    name = "VmHWM:" if peak else "VmRSS:"
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {name}")


def in_fresh_process(module: str, *arguments: Any) -> str:
    """What `python -m module arguments` prints."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def machine() -> dict[str, Any]:
    """Processor, cores, bf16 units, thread settings and versions: what figures depend on."""
    import faiss
    import torch

    model, flags = _processor()
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "bf16 units": next((flag for flag in ("amx_bf16", "avx512_bf16", "bf16") if flag in flags), None),
        "threads": {"torch": torch.get_num_threads(), "faiss": faiss.omp_get_max_threads()},
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _processor() -> tuple[str, set[str]]:
    """Name and capability flags; ARM's `Features` are flags under another name."""
    listing = Path("/proc/cpuinfo")
    if not listing.exists():
        return platform.processor() or platform.machine(), set()
    lines = [line.split(":", 1) for line in listing.read_text(encoding="utf-8").splitlines() if ":" in line]
    first = {key.strip(): value.strip() for key, value in reversed(lines)}
    flags = set((first.get("flags") or first.get("Features") or "").split())
    return f"{first.get('model name', platform.machine())}, {_vectors(flags)}", flags


def _vectors(flags: set[str]) -> str:
    """Some clouds hide the model; the widest vectors say more."""
    return next((name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in flags), "no AVX2")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
