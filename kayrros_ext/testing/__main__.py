"""`make mock`: the mock in the foreground."""

import argparse
import signal
import sys

from kayrros_ext.errors import MockError
from kayrros_ext.testing.prism import prism_mock


def main() -> int:
    """Serve the mock in the foreground until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="make mock", description="Serve openapi.yaml on loopback.")
    parser.add_argument("--port", type=int, default=4010)
    port = parser.parse_args().port
    # A shell that starts us in the background has SIGINT ignored; who sends one means it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with prism_mock(port=port, echo=True) as mock:
            print("\nThe mock is ready. In another terminal:", flush=True)
            for name, value in mock.settings.items():
                print(f"  export {name}={value}", flush=True)
            print("Ctrl-C stops it.\n", flush=True)
            return mock.process.wait()
    except KeyboardInterrupt:
        return 0
    except MockError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
