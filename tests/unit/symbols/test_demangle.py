"""Names of linkers as the debugger shows them; the expected ones stand in its transcripts."""

from __future__ import annotations

import pytest

from polydbg.symbols import demangle
from polydbg.symbols.demangle import undecorate

CPP = [
    ("?s_made@Figure@geometry@@2HA", "geometry::Figure::s_made"),
    ("??0Figure@geometry@@QEAA@PEBDW4Kind@1@@Z", "geometry::Figure::Figure"),
    (
        "?at@?$Ring@$03PEAVFigure@geometry@@@geometry@@QEAAAEAPEAVFigure@2@H@Z",
        "geometry::Ring<4,geometry::Figure *>::at",
    ),
    (
        "?push_back@?$vector@HV?$allocator@H@std@@@std@@QEAAXAEBH@Z",
        "std::vector<int,std::allocator<int> >::push_back",
    ),
    ("??_7Box@geometry@@6BFigure@1@@", "geometry::Box::`vftable'"),
    ("??_8Diamond@geometry@@7BLeft@1@@", "geometry::Diamond::`vbtable'"),
    ("??_R0?AUFailure@geometry@@@8", "geometry::Failure `RTTI Type Descriptor'"),
    (
        "??_R1A@?0A@EA@Box@geometry@@8",
        "geometry::Box::`RTTI Base Class Descriptor at (0,-1,0,64)'",
    ),
    ("??_R4Box@geometry@@6BFigure@1@@", "geometry::Box::`RTTI Complete Object Locator'"),
    ("??_C@_05CJBACGMB@hello?$AA@", "`string'"),
    ("??6std@@YAAEAV?$basic_ostream@DU?$char_traits@D@std@@@0@AEAV10@PEBD@Z", "std::operator<<"),
    ("??5Foo@@QEAAXXZ", "Foo::operator>>"),
    ("??BFoo@@QEBAHXZ", "Foo::operator int"),
    ("??2@YAPEAX_K@Z", "operator new"),
    ("??_GFoo@@UEAAPEAXI@Z", "Foo::`scalar deleting destructor'"),
    ("??_EFoo@@W3AEPAXI@Z", "Foo::`vector deleting destructor'`adjustor{4}'"),
    ("?x@?1??foo@@YAHXZ@4HA", "`foo'::`2'::x"),
    ("?ret@@YAP6AXH@ZD@Z", "ret"),
    ("??__Eg_origin@@YAXXZ", "`dynamic initializer for 'g_origin''"),
    ("?hidden@?A0x12345678@@3HA", "`anonymous namespace'::hidden"),
    ("_ZN8geometry3Box5paintEi", "geometry::Box::paint"),
    ("_ZNK3FoocvbEv", "Foo::operator bool"),
]
C = [
    ("__imp_VirtualProtect", "_imp_VirtualProtect"),
    ("_commode", "commode"),
    (".refptr.__imp__fmode", "refptr.__imp__fmode"),
    ("CloseHandle", "CloseHandle"),
    ("_TI1?AUFailure@geometry@@", "TI1?AUFailuregeometry"),
    ("_CT??_R0?AUFailure@geometry@@@824", "CT??_R0?AUFailuregeometry"),
    ("__real@3ff8000000000000", "_real"),
    ("__real@c004000000000000", "_realc004000000000000"),
    ("_Sleep@4", "Sleep"),
    ("@fast@8", "fast"),
    ("", ""),
    ("_", "_"),
]


@pytest.mark.parametrize(("raw", "shown"), C)
def test_c_names(raw: str, shown: str) -> None:
    assert undecorate(raw) == shown


@pytest.mark.parametrize(("raw", "shown"), CPP)
def test_cpp_names(raw: str, shown: str) -> None:
    pytest.importorskip("pycxxfilt")
    assert undecorate(raw) == shown


@pytest.mark.parametrize("raw", ["?", "??", "?@@", "??_7", "?a@@@@@@", "_Z", "_ZN", "?x\x00y@@3HA"])
def test_broken_names_stay(raw: str) -> None:
    assert isinstance(undecorate(raw), str)


def test_without_the_library_names_stay_raw(monkeypatch: pytest.MonkeyPatch) -> None:
    undecorate.cache_clear()
    monkeypatch.setattr(demangle, "_demanglers", lambda: None)
    assert undecorate("?paint@Box@@QEAAXXZ") == "?paint@Box@@QEAAXXZ"
    assert undecorate("_main") == "main"
    undecorate.cache_clear()


def _doubling(levels: int) -> str:
    """Return a name with so many parts that each name the one before them twice."""
    numbers = [f"S{i - 1:X}_" for i in range(1, min(levels, 16) + 1)]
    numbers += [f"S{'GHIJKLMNOPQRSTUVWXYZ'[i]}_" for i in range(max(levels - 16, 0))]
    return "_Z1f1AIiiE" + "".join(f"S_I{number * 2}E" for number in numbers)


def test_names_that_double_with_each_part_stay_as_they_are() -> None:
    assert undecorate(_doubling(5)) == "f"
    for levels in (20, 30, 36):
        assert undecorate(_doubling(levels)) == _doubling(levels)[1:]


def test_long_names_of_real_programs_are_not_refused() -> None:
    name = (
        "_ZN5polly14BlockGeneratorC1ERN4llvm9IRBuilderINS1_14ConstantFolderENS_10IRInserterEEERNS1_"
        "8LoopInfoERNS1_15ScalarEvolutionERNS1_13DominatorTreeERNS1_8DenseMapIPKNS_13ScopArrayInfoE"
        "NS1_11AssertingVHINS1_10AllocaInstEEENS1_12DenseMapInfoISG_vEENS1_6detail12DenseMapPairISG_"
        "SJ_EEEERNS1_9MapVectorIPNS1_11InstructionESt4pairINSH_INS1_5ValueEEENS1_11SmallVectorIST_"
        "Lj4EEEENSD_IST_jNSK_IST_vEENSN_IST_jEEEENSX_ISU_IST_SZ_ELj0EEEEERNSD_ISW_SW_NSK_ISW_vEENSN_"
        "ISW_SW_EEEEPNS_14IslExprBuilderEPNS1_10BasicBlockE"
    )
    assert undecorate(name) == "polly::BlockGenerator::BlockGenerator"
