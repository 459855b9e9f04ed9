"""Packs a function's `bootstrap` as Lambda takes it; the same binary makes the same archive.

Usage: python3 scripts/zip_function.py BOOTSTRAP ZIP [LEVEL]    (SOURCE_DATE_EPOCH dates the entry; levels are zlib's)
"""

import os
import sys
import time
import zipfile
from pathlib import Path

# Lambda's bounds: what is uploaded, and what it is unpacked to.
ZIPPED_MAX = 50 * 1024 * 1024
UNZIPPED_MAX = 250 * 1024 * 1024


def main() -> int:
    binary, archive = Path(sys.argv[1]), Path(sys.argv[2])
    level = int(sys.argv[3]) if len(sys.argv) > 3 else 9
    made_at = time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", "315532800")))
    entry = zipfile.ZipInfo("bootstrap", date_time=made_at[:6])
    entry.external_attr = 0o100755 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr(entry, binary.read_bytes(), compresslevel=level)
    if archive.stat().st_size > ZIPPED_MAX or binary.stat().st_size > UNZIPPED_MAX:
        print(f"{archive} is larger than Lambda takes", file=sys.stderr)
        return 1
    print(f"{archive}: {archive.stat().st_size} bytes, {binary.stat().st_size} unpacked")
    return 0


if __name__ == "__main__":
    sys.exit(main())
