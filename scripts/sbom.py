"""Write the SBOM of the installed packages next to the wheel: dist/kayrros_ext-VERSION.cdx.json, CycloneDX 1.6.

`make dist` runs this in an environment with cyclonedx-bom. The output depends on the lock alone, and contains no path of
this machine and no address of a registry.
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
    """Write the SBOM, or print why it is invalid."""
    tool = [sys.executable, "-W", "ignore", "-m", "cyclonedx_py", "requirements", LOCK, "--pyproject", "pyproject.toml"]
    options = ["--mc-type", "library", "--output-reproducible", "--short-PURLs", "--sv", "1.6"]
    output = subprocess.run([*tool, *options], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    text = json.dumps(cleaned(json.loads(output), (ROOT / LOCK).read_text("utf-8")), indent=2, sort_keys=True) + "\n"
    if problem := invalid(text):
        print(f"The SBOM is not CycloneDX: {problem}", file=sys.stderr)
        return 1
    path = ROOT / "dist" / f"{ROOT_NAME.replace('-', '_')}-{version()}.cdx.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, "utf-8")
    print(f"dist/{path.name} written")
    return 0


def cleaned(bom: dict[str, Any], lock: str) -> dict[str, Any]:
    """Return an SBOM with package URLs as addresses and references, and with the dependencies from the lock's comments."""
    root = bom["metadata"]["component"]
    root["version"] = version()  # pyproject.toml takes it from the code
    refs = {component["name"]: component["purl"] for component in bom["components"]}
    for component in bom["components"]:
        component.pop("description", None)  # only repeats the line of the lock
        component["bom-ref"] = component["purl"]
        for reference in component.get("externalReferences", []):
            reference["url"] = component["purl"]
            reference["comment"] = "the files listed in the lock"
    dependencies = dependencies_of(lock)
    graph = {root["bom-ref"]: [refs[name] for name in dependencies.get(ROOT_NAME, [])]}
    graph |= {ref: [refs[other] for other in dependencies.get(name, [])] for name, ref in refs.items()}
    bom["dependencies"] = [{"ref": ref, "dependsOn": sorted(graph[ref])} for ref in sorted(graph)]
    tools = bom["metadata"]["tools"]["components"]
    bom["metadata"]["tools"]["components"] = [
        {key: tool[key] for key in ("name", "type", "version") if key in tool} for tool in tools
    ]
    return bom


def version() -> str:
    """Return the version of the package, which is not installed here."""
    text = (ROOT / "kayrros_ext" / "__init__.py").read_text("utf-8")
    return text.partition('__version__ = "')[2].partition('"')[0]


def dependencies_of(lock: str) -> dict[str, list[str]]:
    """Return the dependencies of each package and of the project, from a lock written by uv."""
    dependencies: dict[str, list[str]] = {}
    package = ""
    for line in lock.splitlines():
        if pin := re.match(r"([A-Za-z0-9._-]+)==", line):
            package = pin[1]
        elif package and (via := re.match(r"    # (?:via|  ) ?([A-Za-z0-9._-]+)", line)):
            dependencies.setdefault(via[1], []).append(package)
    return dependencies


def invalid(text: str) -> str | None:
    """Return why a text is not CycloneDX 1.6; None if it is."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    return None if problem is None else str(problem)


if __name__ == "__main__":
    sys.exit(main())
