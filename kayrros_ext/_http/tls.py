"""Which certificates are trusted."""

import os
import ssl
from pathlib import Path

from kayrros_ext.errors import ConfigurationError

Verify = bool | str | Path | ssl.SSLContext


def context(verify: Verify) -> ssl.SSLContext:
    """The TLS settings of a client.

    Args:
        verify: True for SSL_CERT_FILE and SSL_CERT_DIR where the environment names them, else for the authorities of the
            system's trust store and of certifi; the path of a file or folder of authorities, and then of these alone; a
            context of one's own; False for no check at all.

    Raises:
        ConfigurationError: there is nothing to trust at that path.
    """
    if isinstance(verify, ssl.SSLContext):
        return verify
    if verify is False:
        unchecked = ssl.create_default_context()
        unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
        return unchecked
    if verify is True:
        named = [os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")]
        if any(named):
            return _of(*named)
        import certifi  # httpx's own

        both = ssl.create_default_context()  # the system's; which a small container may not have
        both.load_verify_locations(cafile=certifi.where())
        return both
    path = Path(verify)
    return _of(None, str(path)) if path.is_dir() else _of(str(path), None)


def _of(file: str | None, folder: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=file or None, capath=folder or None)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigurationError(
            f"No certificates could be read from {file or folder} ({error}). Check verify=, SSL_CERT_FILE and SSL_CERT_DIR."
        ) from error
