"""Run Atheris on one parser: `python -m fuzz login --seconds 600`. Findings go to reports/fuzz-login/.

It starts with the inputs in corpus/. Git ignores reports/, which keeps the inputs that reach more of the code.
An exception outside our tree of errors, or a claim of fuzz/targets.py that fails, ends it with exit 77.
"""

import argparse
import logging
import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).parent.parent
# Coverage guides the fuzzer: that of our code, and of the parsers that it passes the bytes to.
DICTIONARIES = {"login": "json", "results": "json", "content_disposition": "header"}
WATCHED = ["kayrros_ext", "kayrros_openapi", "json", "email", "pathvalidate", "mimetypes"]


def main() -> None:
    """Fuzz until the time is over."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("target", choices=DICTIONARIES)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with atheris.instrument_imports(include=WATCHED):
        from fuzz.targets import TARGETS
    logging.getLogger("kayrros_ext").setLevel(logging.CRITICAL)  # unknown fields are named in a warning each
    reports = ROOT / "reports" / f"fuzz-{options.target}"
    (reports / "corpus").mkdir(parents=True, exist_ok=True)
    flags = [
        f"-max_total_time={options.seconds}",
        f"-seed={options.seed}",
        f"-artifact_prefix={reports}/",
        "-timeout=10",
    ]
    flags += [f"-dict={ROOT / 'fuzz' / 'dictionaries' / DICTIONARIES[options.target]}.dict"]
    # Longer inputs cost more than they find: each parser reads its input again and again alike.
    flags += ["-max_len=2048", "-rss_limit_mb=2048", "-print_final_stats=1"]
    folders = [str(reports / "corpus"), str(ROOT / "fuzz" / "corpus" / options.target)]
    atheris.Setup([sys.argv[0], *flags, *folders], TARGETS[options.target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
