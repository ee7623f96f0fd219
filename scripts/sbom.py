"""Write the SBOM of what a user gets, beside the wheel: dist/kayrros_openapi-VERSION.cdx.json, CycloneDX 1.6.

Run by `make dist`, in an environment that has cyclonedx-bom. It says what the lock says and no more: the same lock gives the
same bytes, without a path of this machine or the address of a registry.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
LOCK = "requirements/base.txt"
ROOT_NAME = "kayrros-ext"


def main() -> int:
    """Write it, valid, or say why it is not."""
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "cyclonedx_py",
        "requirements",
        LOCK,
        "--pyproject",
        "pyproject.toml",
    ]
    command += ["--mc-type", "library", "--output-reproducible", "--short-PURLs", "--sv", "1.6"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    text = json.dumps(cleaned(json.loads(made), (ROOT / LOCK).read_text("utf-8")), indent=2, sort_keys=True) + "\n"
    if problem := invalid(text):
        print(f"The SBOM is not CycloneDX: {problem}", file=sys.stderr)
        return 1
    version = json.loads(text)["metadata"]["component"]["version"]
    path = ROOT / "dist" / f"{ROOT_NAME.replace('-', '_')}-{version}.cdx.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, "utf-8")
    print(f"dist/{path.name} written")
    return 0


def cleaned(bom: dict[str, Any], lock: str) -> dict[str, Any]:
    """An SBOM with package URLs for addresses and references, and with who needs whom, which the lock's comments say."""
    root = bom["metadata"]["component"]
    refs = {component["name"]: component["purl"] for component in bom["components"]}
    for component in bom["components"]:
        component.pop("description", None)  # the line of the lock, again
        component["bom-ref"] = component["purl"]
        for reference in component.get("externalReferences", []):
            reference["url"] = component["purl"]
            reference["comment"] = "the files that the lock takes"
    needed = needs(lock)
    graph = {root["bom-ref"]: [refs[name] for name in needed.get(ROOT_NAME, [])]}
    graph |= {ref: [refs[other] for other in needed.get(name, [])] for name, ref in refs.items()}
    bom["dependencies"] = [{"ref": ref, "dependsOn": sorted(graph[ref])} for ref in sorted(graph)]
    tools = bom["metadata"]["tools"]["components"]
    bom["metadata"]["tools"]["components"] = [
        {key: tool[key] for key in ("name", "type", "version") if key in tool} for tool in tools
    ]
    return bom


def needs(lock: str) -> dict[str, list[str]]:
    """For each package, and for the project, what it needs; of a lock that uv has written."""
    found: dict[str, list[str]] = {}
    package = ""
    for line in lock.splitlines():
        if begins := re.match(r"([A-Za-z0-9._-]+)==", line):
            package = begins[1]
        elif package and (via := re.match(r"    # (?:via|  ) ?([A-Za-z0-9._-]+)", line)):
            found.setdefault(via[1], []).append(package)
    return found


def invalid(text: str) -> str | None:
    """What is wrong with it as CycloneDX 1.6."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    return None if problem is None else str(problem)


if __name__ == "__main__":
    sys.exit(main())
