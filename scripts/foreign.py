"""Feed openapi.yaml to code generators of other projects, and type-check their output: `make test-foreign`.

It runs in an environment of its own, .venv/foreign, with the Python tools of requirements/foreign.txt and the npm tools of
requirements/foreign/. openapi-generator needs Java and is skipped without it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
SPEC = ROOT / "openapi.yaml"
BIN = Path(sys.executable).parent
NPM = BIN.parent / "npm"  # a copy of requirements/foreign, with its node_modules
OPENAPI_GENERATORS = ("python", "typescript-fetch")


def main() -> int:
    """Run every generator and checker, and print a line for each."""
    install_npm_tools()
    failed = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for tool, commands in {**models(folder), **types(folder), **clients(folder)}.items():
            if not commands:
                print(f"{tool}: SKIPPED, because there is no Java")
                continue
            error = next((output for command in commands if (output := _error(command, folder))), None)
            print(f"{tool}: {'FAILED' if error else 'generated and type-checked'}", *filter(None, [error]), sep="\n")
            failed += [tool] if error else []
    return 1 if failed else 0


def models(folder: Path) -> dict[str, list[list[str]]]:
    """Return the commands for pydantic models."""
    target = str(folder / "models.py")
    options = ["--input-file-type=openapi", "--output-model-type=pydantic_v2.BaseModel", "--target-python-version=3.11"]
    options += ["--use-annotated", "--formatters=builtin"]  # mypy rejects the calls in types that are the default
    generate = [str(BIN / "datamodel-codegen"), f"--input={SPEC}", f"--output={target}", *options]
    return {"datamodel-code-generator": [generate, mypy("--strict", target)]}


def types(folder: Path) -> dict[str, list[list[str]]]:
    """Return the commands for TypeScript types."""
    target = str(folder / "api.ts")
    return {"openapi-typescript": [npm("openapi-typescript", str(SPEC), f"--output={target}"), tsc(target)]}


def clients(folder: Path) -> dict[str, list[list[str]]]:
    """Return the commands for whole clients in Python and TypeScript; none without Java."""
    check = {"python": mypy("--ignore-missing-imports", str(folder / "python" / "foreign"))}
    check |= {"typescript-fetch": tsc(str(folder / "typescript-fetch" / "index.ts"))}
    generate = {
        name: [str(BIN / "openapi-generator-cli"), "generate", f"-i={SPEC}", f"-g={name}", f"-o={folder / name}"]
        for name in OPENAPI_GENERATORS
    }
    generate["python"].append("--package-name=foreign")
    java = shutil.which("java")
    return {f"openapi-generator, {name}": [generate[name], check[name]] if java else [] for name in OPENAPI_GENERATORS}


def mypy(*arguments: str) -> list[str]:
    """Return the command of mypy without the project's settings."""
    return [str(BIN / "mypy"), "--config-file=", "--cache-dir=/dev/null", *arguments]


def tsc(file: str) -> list[str]:
    """Return the command of the TypeScript compiler for one file and its imports."""
    return npm(
        "tsc", "--noEmit", "--strict", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler", file
    )


def npm(tool: str, *arguments: str) -> list[str]:
    """Return the command of an npm tool."""
    return [str(NPM / "node_modules" / ".bin" / tool), *arguments]


def install_npm_tools() -> None:
    """Install the locked npm tools, unless they are there."""
    source = ROOT / "requirements" / "foreign"
    lock = "package-lock.json"
    installed = NPM / "node_modules" / ".package-lock.json"
    if installed.is_file() and (NPM / lock).read_bytes() == (source / lock).read_bytes():
        return
    shutil.copytree(source, NPM, dirs_exist_ok=True)
    shutil.copy(ROOT / ".npmrc", NPM)
    subprocess.run(["npm", "ci", "--loglevel=error"], cwd=NPM, env=_environment(), check=True)  # nosec B607


def _error(command: list[str], folder: Path) -> str | None:
    """Run a command in a folder without settings of the project, and return its output if it fails."""
    done = subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, text=True, check=False)
    return f"{done.stdout}{done.stderr}" or f"exit {done.returncode}" if done.returncode else None


def _environment() -> dict[str, str]:
    """Return an environment with the Node of the project first on the PATH."""
    finder = [str(ROOT / ".venv" / "bin" / "python"), str(ROOT / "scripts" / "node_folder.py")]
    folder = subprocess.run(finder, capture_output=True, text=True, check=True).stdout.strip()
    return {**os.environ, "PATH": os.pathsep.join([folder, os.environ.get("PATH", "")])}


if __name__ == "__main__":
    sys.exit(main())
