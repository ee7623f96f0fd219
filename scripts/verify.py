"""Check the HAR of `kayrros doctor` with another tool: `make verify`.

A check-up of the platform fake must satisfy `redocly drift`, and the same session with wrong values must not.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from kayrros_ext.doctor import Doctor
from kayrros_ext.testing import Platform
from scripts.spec import ROOT, redocly


def main() -> int:
    """Run both checks, and print what redocly says of each."""
    platform = Platform()
    platform.add_examples()
    os.environ |= {"KAYRROS_EMAIL": platform.account.email, "KAYRROS_PASSWORD": platform.account.password}
    with tempfile.TemporaryDirectory() as folder:
        doctor = Doctor(transport=platform.transport())
        list(doctor.check())
        doctor.write(Path(folder))
        doctor.close()
        session = Path(folder, "session.har")
        good = drift(session)
        text = session.read_text("utf-8").replace('\\"asset_count\\":', '\\"asset_count\\":\\"x\\",\\"other\\":')
        session.write_text(text, "utf-8")
        bad = drift(session)
    print(f"session.har of a check-up of the fake: {len(good)} findings by redocly drift")
    print(*good, sep="\n", end="\n" if good else "")
    print(f"the same with a wrong value: {len(bad)} findings")
    return int(bool(good or not bad))


def drift(session: Path) -> list[str]:
    """Return the errors that redocly finds in a HAR."""
    done = redocly(
        "drift", str(session), "--api", str(ROOT / "openapi.yaml"), "--format", "json", "--min-severity", "error"
    )
    try:
        report = json.loads(done.stdout)
    except ValueError:
        sys.exit(f"redocly drift printed no report:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
    return [f"{it['operationId']} {it['status']}: {it['message']}" for it in report["problems"]]


if __name__ == "__main__":
    sys.exit(main())
