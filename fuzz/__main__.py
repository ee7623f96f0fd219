"""Run Atheris on one parser: `python -m fuzz login --seconds 600`. What it finds lies in reports/fuzz-login/.

Its inputs begin with the corpus beside this file; those that reach more of the code are kept in reports/, out of git.
An exception outside our tree of errors, or a claim of fuzz/targets.py that fails, ends it with exit 77.
"""

import argparse
import logging
import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).parent.parent
# What is led by its coverage: our code, and the parsers of others that ours hands the bytes to.
WORDS = {"login": "json", "results": "json", "content_disposition": "header"}
WATCHED = ["kayrros_ext", "kayrros_openapi", "json", "email", "pathvalidate", "mimetypes"]


def main() -> None:
    """Fuzz until the time is over."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("target", choices=WORDS)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    with atheris.instrument_imports(include=WATCHED):
        from fuzz.targets import TARGETS
    logging.getLogger("kayrros_ext").setLevel(logging.CRITICAL)  # unknown fields are named in a warning each
    reports = ROOT / "reports" / f"fuzz-{wanted.target}"
    (reports / "corpus").mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={wanted.seconds}",
        f"-seed={wanted.seed}",
        f"-artifact_prefix={reports}/",
        "-timeout=10",
    ]
    options += [f"-dict={ROOT / 'fuzz' / 'words' / WORDS[wanted.target]}.dict"]
    # Longer inputs cost more than they find: each parser reads its input again and again alike.
    options += ["-max_len=2048", "-rss_limit_mb=2048", "-print_final_stats=1"]
    folders = [str(reports / "corpus"), str(ROOT / "fuzz" / "corpus" / wanted.target)]
    atheris.Setup([sys.argv[0], *options, *folders], TARGETS[wanted.target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
