"""Containers and smart pointers of a C++ core, as Python meets them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import polydbg

pytestmark = pytest.mark.peer

PROGRAM = """
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>
struct Van { virtual ~Van() = default; int seats = 2; };
struct Truck : Van { int load = 7; };
int main() {
    std::map<std::string, int> stock{{"ink", 4}, {"pens", 3}};
    std::vector<double> none, prices{1.5, 2.5};
    auto owned = std::make_unique<Truck>();
    Van *van = owned.get();
    std::abort();
    return van->seats + int(none.size() + prices.size() + stock.size());
}
"""


@pytest.fixture
def core(tmp_path: Path) -> Path:
    if shutil.which("g++") is None or shutil.which("gdb") is None:
        pytest.skip("needs g++ and gdb")
    (tmp_path / "vans.cpp").write_text(PROGRAM)
    subprocess.run(["g++", "-g", "-o", "vans", "vans.cpp"], check=True, cwd=tmp_path, timeout=60)
    command = ["gdb", "-q", "-batch", "-ex", "run", "-ex", "generate-core-file core", "./vans"]
    subprocess.run(command, check=True, cwd=tmp_path, timeout=60, capture_output=True)
    return tmp_path / "core"


def test_containers_are_their_elements_and_pointers_lead_on(core: Path) -> None:
    with polydbg.open(core) as session:
        main = next(each for each in session.crash_frames() if each.symbol == "main")
        found = main.locals
        assert [each.value for each in found["prices"]] == [1.5, 2.5]
        assert [len(found[name]) for name in ("stock", "none", "prices")] == [2, 0, 2]
        assert list(found["none"]) == []
        rows = {each["first"].string(): each["second"].value for each in found["stock"]}
        assert rows == {"ink": 4, "pens": 3}
        assert found["prices"]["[size]"].value == 2
        assert found["prices"].keys() == ["[size]", "[capacity]", "[0]", "[1]"]
        assert found["owned"]["load"].value == found["owned"].dereference()["load"].value == 7
        assert found["van"]["load"].value == 7
        with pytest.raises(KeyError):
            found["van"]["nosuch"]
