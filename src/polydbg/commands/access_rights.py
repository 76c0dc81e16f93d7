"""Names of the rights in access masks, as ``!handle`` abbreviates them.

Facts: ACCESS_MASK and the rights of each type of object in winnt.h and wdm.h.
"""

from __future__ import annotations

_STANDARD = {
    0x00010000: "Delete",
    0x00020000: "ReadControl",
    0x00040000: "WriteDac",
    0x00080000: "WriteOwner",
    0x00100000: "Synch",
    0x01000000: "AccessSystemSecurity",
    0x02000000: "MaximumAllowed",
}
_STANDARD_MASK = 0xFFFF0000
_STATE = "QueryState ModifyState"
_SPECIFIC = {
    "Directory": "Query Traverse CreateObject CreateSubDirectory",
    "Event": _STATE,
    "File": "Read/List Write/Add Append/SubDir/CreatePipe ReadEA WriteEA Execute/Traverse "
    "DeleteChild ReadAttr WriteAttr",
    "IoCompletion": _STATE,
    "Job": "AssignProcess SetAttr Query Terminate SetSecurityAttr",
    "Key": "QueryValue SetValue CreateSubKey EnumSubKey Notify CreateLink",
    "Mutant": "QueryState",
    "Process": "Terminate CreateThread SetSessionId VMOp VMRead VMWrite DupHandle CreateProcess "
    "SetQuota SetInfo QueryInfo SetPort",
    "Section": "Query MapWrite MapRead MapExecute Extend",
    "Semaphore": _STATE,
    "SymbolicLink": "Query",
    "Thread": "Terminate Suspend Alert GetContext SetContext SetInfo QueryInfo SetToken "
    "Impersonate DirectImpersonate",
    "Timer": _STATE,
    "Token": "AssignPrimary Duplicate Impersonate Query QuerySource AdjustPrivileges "
    "AdjustGroups AdjustDefault AdjustSessionId",
}


def access_names(type_name: str, mask: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the standard and of the specific rights of *mask*.

    Bits without a name in the type stand as one hex number at the end.
    """
    standard = [name for bit, name in _STANDARD.items() if mask & bit]
    names = _SPECIFIC.get(type_name, "").split()
    specific = [name for index, name in enumerate(names) if mask >> index & 1]
    rest = mask & ~_STANDARD_MASK & 0xFFFF & ~((1 << len(names)) - 1)
    if rest:
        specific.append(f"{rest:#x}")
    return tuple(standard), tuple(specific)
