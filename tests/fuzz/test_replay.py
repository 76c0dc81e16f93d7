"""Replays seeds and kept corpora of every fuzz target, and a few mutations of them."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from readers import TARGETS
from run import mutated

CORPORA = Path(__file__).with_name("corpora")


@pytest.mark.parametrize("name", TARGETS)
def test_replay(name: str) -> None:
    target = TARGETS[name]
    kept = [path.read_bytes() for path in sorted((CORPORA / name).glob("*"))]
    seeds = target.seeds() + kept
    assert seeds
    rng = random.Random(name)
    for data in seeds + [mutated(rng, seeds) for _ in range(30)]:
        started = time.process_time()
        target.read(data)
        assert time.process_time() - started < 5


def test_every_corpus_has_its_target() -> None:
    assert {path.name for path in CORPORA.iterdir()} <= set(TARGETS)
