"""SST's bridge, taken out of the released command line, to the byte.

The command line embeds the file uncompressed, and nothing else in it starts with an ELF header. An
ELF file does not say how long it is: it ends where its last section, segment or table does.
"""

from __future__ import annotations

import struct
from pathlib import Path

_ELF64_LITTLE = b"\x7fELF\x02\x01\x01"


def cut_bridge(command_line: Path) -> bytes:
    """The second ELF file inside ``bin/sst``.

    Raises:
        ValueError: there is not exactly one besides the program itself.
    """
    data = command_line.read_bytes()
    starts = []
    at = data.find(_ELF64_LITTLE, 1)
    while at >= 0:
        if _is_header(data[at : at + 64]):
            starts.append(at)
        at = data.find(_ELF64_LITTLE, at + 1)
    if len(starts) != 1:
        raise ValueError(f"{command_line}: {len(starts)} embedded programs, expected one")
    (start,) = starts
    return data[start : start + _length(data, start)]


def _is_header(header: bytes) -> bool:
    """Whether this heads an x86-64 program; the seven bytes also stand about as a constant."""
    kind, machine, version = struct.unpack_from("<HHI", header, 16)
    return kind in {2, 3} and machine == 62 and version == 1


def _length(data: bytes, start: int) -> int:
    program_at, section_at = struct.unpack_from("<QQ", data, start + 32)
    program_size, program_count, section_size, section_count = struct.unpack_from(
        "<HHHH", data, start + 54
    )
    ends = [program_at + program_size * program_count, section_at + section_size * section_count]
    for number in range(program_count):
        offset, _, _, size = struct.unpack_from(
            "<QQQQ", data, start + program_at + program_size * number + 8
        )
        ends.append(offset + size)
    for number in range(section_count):
        at = start + section_at + section_size * number
        (kind,) = struct.unpack_from("<I", data, at + 4)
        offset, size = struct.unpack_from("<QQ", data, at + 24)
        if kind != 8:  # SHT_NOBITS takes no room in the file
            ends.append(offset + size)
    return max(ends)
