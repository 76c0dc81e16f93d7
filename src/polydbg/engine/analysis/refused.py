"""Why the processor refused an instruction without an address to report: the general protection
faults of x86 and x64.

Facts: the exceptions of each instruction in Intel's Software Developer's Manual, volume 2. Windows
reports an access at -1, Linux SIGSEGV with SI_KERNEL, for all of them.
"""

from __future__ import annotations

from polydbg.arch.disassembly_operands import register_value
from polydbg.engine.analysis.causes import PRIVILEGED, Case, privileged
from polydbg.engine.analysis.location import is_no_code
from polydbg.engine.analysis.model import AccessKind, Confidence, Verdict
from polydbg.engine.analysis.operands import OperandAccess
from polydbg.engine.analysis.pointers import fill_pattern, is_canonical, is_null, text_in

_ALIGNED_NAMES = """
    movaps movapd movdqa movntps movntpd movntdq movntdqa vmovaps vmovapd vmovdqa vmovdqa32
    vmovdqa64 vmovntps vmovntpd vmovntdq vmovntdqa
"""
_ALIGNED = frozenset(_ALIGNED_NAMES.split())
_UNALIGNED = frozenset(
    ("movups", "movupd", "movdqu", "lddqu", "pcmpestri", "pcmpestrm", "pcmpistri", "pcmpistrm")
)
"""Those of SSE with operands of 16 bytes that need not be aligned; those of AVX (v...) need not."""


def judge_refused(case: Case) -> Verdict | None:
    """Return why the instruction was refused: privileged, misaligned, a call or a return to what is
    no address. ``None`` where its operands have to tell."""
    access = case.fault.access
    if access is None or (access.is_reported and access.address != case.scene.pc):
        return None
    if access.kind is AccessKind.EXECUTE or is_no_code(case.scene):
        return None
    name = case.instruction.mnemonic.split()[-1] if case.instruction else ""
    if name in PRIVILEGED:
        return privileged(case)
    if name == "int":
        return Verdict(
            "PRIVILEGED_INSTRUCTION",
            "an interrupt was raised that programs may not raise",
            Confidence.LIKELY,
            (f"`{case.scene.instruction}` at {case.where}",),
        )
    if case.scene.system.machine == "amd64":
        target = _misaligned(case, name) or _transfer(case, name)
        if target is not None:
            return target
    return None


def _misaligned(case: Case, name: str) -> Verdict | None:
    """Explain an operand that had to be aligned, unless its address is bad in another way."""
    scene = case.scene
    for operand in scene.operands:
        needed = operand.size if name in _ALIGNED else 16
        if operand.size < 16 or not operand.address % needed or name in _UNALIGNED:
            continue
        if name.startswith("v") and name not in _ALIGNED:
            continue
        if _is_bad(case, operand):
            continue
        return Verdict(
            "DATATYPE_MISALIGNMENT",
            "an instruction that needs aligned data was given a crooked address",
            Confidence.CERTAIN if name in _ALIGNED else Confidence.LIKELY,
            (
                f"`{scene.instruction}` accesses {scene.address_text(operand.address)}, which is "
                f"no multiple of {needed}",
            ),
        )
    return None


def _is_bad(case: Case, operand: OperandAccess) -> bool:
    address = operand.address
    if is_null(address) or not is_canonical(address, case.scene.system.machine):
        return True
    return case.scene.map.is_mapped(address) is False


def _transfer(case: Case, name: str) -> Verdict | None:
    """Explain a return, a call or a jump to what is not canonical."""
    scene = case.scene
    value = _target(case, name)
    if value is None or is_canonical(value, "amd64"):
        return None
    pattern, spelled = fill_pattern(value, 8), text_in(value, 8)
    words = f": {pattern.meaning}" if pattern else f', which spells "{spelled}"' if spelled else ""
    problem = f"_FILL_PATTERN_{pattern.word:08x}" if pattern else ""
    at = scene.address_text(value)
    if name in ("ret", "retn"):
        summary = "a function returned to what is no address: its stack frame was overwritten"
        evidence = f"`{scene.instruction}` takes {at} from the stack{words}"
    else:
        summary = "a function pointer that is no address was called"
        evidence = f"`{scene.instruction}` goes to {at}{words}"
    return Verdict(f"INVALID_POINTER_EXECUTE{problem}", summary, Confidence.CERTAIN, (evidence,))


def _target(case: Case, name: str) -> int | None:
    """Return where a return, an indirect call or an indirect jump goes."""
    scene, instruction = case.scene, case.instruction
    if instruction is None or name not in ("ret", "retn", "call", "jmp"):
        return None
    if name in ("call", "jmp"):
        value = register_value(instruction.operands.strip(), scene.registers)
        if value is not None:
            return value
    if not scene.operands or scene.operands[0].kind is not AccessKind.READ:
        return None
    data = scene.system.memory.read_some(scene.operands[0].address, 8)
    return int.from_bytes(data, "little") if len(data) == 8 else None
