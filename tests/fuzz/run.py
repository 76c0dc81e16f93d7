"""Fuzz a reader: ``run.py --target NAME [--seconds N] [--seeds DIR] [--corpus DIR]``; the name
``all`` runs every target for that long, two at a time.

With atheris (coverage guided) where it is installed; else mutations of the seeds, the same ones
every time. Inputs that find a fault are written to the folder of ``--faults`` and the exit status
is 1. Kept inputs (``corpora/NAME``) are synthetic: made from our own seeds.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
MAX_SIZE = 1 << 18
SLOW_SECONDS = 5.0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="fuzz a reader of polydbg")
    parser.add_argument("--target", required=True, help="a name of readers.TARGETS, or 'all'")
    parser.add_argument("--seconds", type=int, default=15, help="how long, for each target")
    parser.add_argument("--seeds", action="append", default=[], help="a further folder of seeds")
    parser.add_argument("--corpus", help="where to keep what atheris finds new; default: nowhere")
    parser.add_argument("--faults", default=tempfile.gettempdir(), help="where faults are written")
    parser.add_argument("--plain", action="store_true", help="do without atheris")
    return parser.parse_args()


def main() -> int:
    arguments = parse()
    if arguments.target == "all":
        return run_all(sys.argv[1:])
    try:
        if arguments.plain:
            raise ImportError
        import atheris
    except ImportError:
        return mutate(arguments)
    return guided(arguments, atheris)


def run_all(options: list[str]) -> int:
    """Run every target in a process of its own; print how each ended."""
    sys.path.insert(0, str(HERE))
    import readers

    def run(name: str) -> int:
        command = [sys.executable, __file__, *options, "--target", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        output = done.stdout + done.stderr
        print(f"{name}: {'no fault' if not done.returncode else output[-4000:]}", flush=True)
        return done.returncode

    with ThreadPoolExecutor(2) as pool:
        return int(any(list(pool.map(run, readers.TARGETS))))


def corpus_of(name: str) -> list[Path]:
    return sorted((HERE / "corpora" / name).glob("*"))


def guided(arguments: argparse.Namespace, atheris) -> int:  # type: ignore[no-untyped-def]
    """Hand over to libFuzzer, which ends the process."""
    with atheris.instrument_imports(include=["polydbg"]):
        import readers
    target = readers.TARGETS[arguments.target]
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        for index, seed in enumerate(target.seeds()):
            (Path(folder) / f"seed{index}").write_bytes(seed)
        found = Path(arguments.corpus or Path(folder) / "new")
        found.mkdir(parents=True, exist_ok=True)
        options = [
            sys.argv[0],
            f"-max_total_time={arguments.seconds}",
            f"-max_len={MAX_SIZE}",
            "-timeout=20",
            "-rss_limit_mb=1500",
            "-verbosity=0",
            "-print_final_stats=1",
            f"-artifact_prefix={arguments.faults}/{arguments.target}-",
            str(found),
            folder,
            *(str(p) for p in [HERE / "corpora" / arguments.target] if p.is_dir()),
            *arguments.seeds,
        ]
        atheris.Setup(options, target.read)
        atheris.Fuzz()
    return 0


def mutate(arguments: argparse.Namespace) -> int:
    """Mutate seeds until the time is up; deterministic but for how far it gets."""
    sys.path.insert(0, str(HERE))
    import readers

    target = readers.TARGETS[arguments.target]
    files = corpus_of(arguments.target)
    files += [p for d in arguments.seeds for p in sorted(Path(d).rglob("*")) if p.is_file()]
    seeds = target.seeds() + [p.read_bytes()[:MAX_SIZE] for p in files]
    rng = random.Random(arguments.target)
    end, runs, faults = time.monotonic() + arguments.seconds, 0, 0
    while time.monotonic() < end and faults < 10:
        data = mutated(rng, seeds) if runs >= len(seeds) else seeds[runs]
        runs += 1
        faults += not survives(target.read, data, arguments)
    print(f"{arguments.target}: {runs} inputs, {faults} faults")
    return 1 if faults else 0


def survives(read: Callable[[bytes], None], data: bytes, arguments: argparse.Namespace) -> bool:
    started = time.process_time()
    try:
        read(data)
        if time.process_time() - started < SLOW_SECONDS:
            return True
        print(f"{arguments.target}: took {time.process_time() - started:.1f} s")
    except Exception:
        traceback.print_exc()
    name = f"{arguments.target}-crash-{hashlib.sha1(data).hexdigest()}"
    Path(arguments.faults, name).write_bytes(data)
    print(f"written to {os.path.join(arguments.faults, name)}")
    return False


_WORDS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutated(rng: random.Random, seeds: list[bytes]) -> bytes:
    """Return a seed with bytes, words, runs or its length changed, or spliced with another."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.randrange(1, 8)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(7):
            case 0 if at < len(data):
                data[at] = rng.randrange(256)
            case 1:
                data[at & ~3 : (at & ~3) + 4] = rng.choice(_WORDS).to_bytes(4, "little")
            case 2:
                data[at & ~1 : (at & ~1) + 2] = (rng.choice(_WORDS) & 0xFFFF).to_bytes(2, "little")
            case 3:
                del data[at : at + rng.randrange(1, 64)]
            case 4:
                data[at:at] = data[at : at + rng.randrange(1, 64)]
            case 5:
                other = rng.choice(seeds)
                data[at : at + 64] = other[at : at + 64]
            case 6 if rng.random() < 0.2:
                del data[at:]
    return bytes(data[:MAX_SIZE])


if __name__ == "__main__":
    sys.exit(main())
