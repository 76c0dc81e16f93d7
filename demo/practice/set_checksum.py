"""Sets the CheckSum field of a PE file, as ImageHlp's CheckSumMappedFile computes it.

lld sets it only on request, and stripping makes it stale; a debugger warns of an image without one.
"""

import struct
import sys
from pathlib import Path

path = Path(sys.argv[1])
data = bytearray(path.read_bytes())
field = struct.unpack_from("<I", data, 0x3C)[0] + 24 + 64
data[field : field + 4] = bytes(4)
total = sum(struct.unpack(f"<{(len(data) + 1) // 2}H", bytes(data) + bytes(len(data) % 2)))
while total > 0xFFFF:
    total = (total & 0xFFFF) + (total >> 16)
struct.pack_into("<I", data, field, total + len(data))
path.write_bytes(data)
