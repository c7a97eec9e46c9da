"""The checksums of an MCAP file, checked on its bytes, so that no parser sees damaged ones.

    magic, records, DataEnd(crc of all before), summary, Footer(summary_start, crc of the summary), magic

Together they cover every byte, if the data section has its own, which MCAP leaves to the writer.
"""

import struct
import zlib

from mcap.opcode import Opcode
from mcap.writer import MCAP0_MAGIC

_DATA_END = struct.Struct("<BQI")
_FOOTER = struct.Struct("<BQQQI8s")
_LENGTH = struct.calcsize("<BQ")


def check(data: bytes) -> bool:
    """Check a whole file; return whether its data section has a checksum.

    Raises:
        ValueError: a checksum is wrong, or the file is cut.
    """
    if not data.startswith(MCAP0_MAGIC) or len(data) < len(MCAP0_MAGIC) + _DATA_END.size + _FOOTER.size:
        raise ValueError("it does not begin as MCAP files do")
    end = len(data) - _FOOTER.size
    opcode, length, summary, _, summary_crc, magic = _FOOTER.unpack_from(data, end)
    if (opcode, length, magic) != (Opcode.FOOTER, 20, MCAP0_MAGIC):
        raise ValueError("it does not end as MCAP files do")
    if not len(MCAP0_MAGIC) + _DATA_END.size <= summary <= end:
        raise ValueError(f"its summary begins at byte {summary} of {len(data)}")
    _compare("summary", summary_crc, data[summary : len(data) - len(MCAP0_MAGIC) - 4])
    at = summary - _DATA_END.size
    opcode, length, data_crc = _DATA_END.unpack_from(data, at)
    if (opcode, length) != (Opcode.DATA_END, _DATA_END.size - _LENGTH):
        raise ValueError("its data section has no end")
    if data_crc:
        _compare("data section", data_crc, data[:at])
    return data_crc != 0


def _compare(what: str, stored: int, covered: bytes) -> None:
    if (found := zlib.crc32(covered)) != stored:
        raise ValueError(f"the checksum of its {what} is {found:08x}, and {stored:08x} was written")
