"""Check a file against CycloneDX's own schema. It runs in the environment of requirements/sbom.txt: `FILE`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator


def main(file: Path) -> int:
    """Return 1 and print the error where the file does not fit the schema of its version."""
    text = file.read_text(encoding="utf-8")
    version = SchemaVersion.from_version(json.loads(text)["specVersion"])
    error = JsonStrictValidator(version).validate_str(text)
    if error is not None:
        print(f"{file.name}: {error}")
    return 0 if error is None else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
