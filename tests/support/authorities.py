"""A private certificate authority, made by openssl, and TLS servers with its certificates."""

import ssl
import subprocess
from pathlib import Path

import attrs

_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"


@attrs.frozen
class Authority:
    """A certificate authority.

    Attributes:
        folder: the folder of its files; clients trust `folder / "ca.pem"`.
    """

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> "Authority":
        """Make an authority in an empty folder, which OpenSSL can also read as a folder of authorities."""
        _openssl(
            f"req -x509 {_KEY} -subj /CN=Test-CA "
            f"-addext keyUsage=critical,keyCertSign -keyout {folder}/ca.key -out {folder}/ca.pem"
        )
        name = subprocess.run(
            ["openssl", "x509", "-hash", "-noout", "-in", folder / "ca.pem"], check=True, capture_output=True, text=True
        ).stdout.strip()
        (folder / f"{name}.0").symlink_to("ca.pem")
        return cls(folder)

    @property
    def certificate(self) -> Path:
        """The certificate for clients to trust."""
        return self.folder / "ca.pem"

    def serves(self, host: str) -> ssl.SSLContext:
        """Return the TLS context of a server with this host name."""
        leaf = self.folder / host
        kind = "DNS" if host[-1].isalpha() else "IP"
        _openssl(
            f"req -x509 {_KEY} -CA {self.certificate} -CAkey {self.folder}/ca.key -subj /CN={host} "
            f"-addext subjectAltName={kind}:{host} -addext basicConstraints=critical,CA:FALSE "
            f"-keyout {leaf}.key -out {leaf}.crt"
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{leaf}.crt", f"{leaf}.key")
        return context


def _openssl(arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], check=True, capture_output=True)
