"""Settings from arguments by name, as `Kayrros` takes them."""

from typing import Any

from kayrros_ext._config.credentials import KEYS, Source
from kayrros_ext._config.settings import Settings


def load_settings(**arguments: Any) -> Settings:
    """Load settings; the credentials and hosts among the arguments are one source."""
    source = Source("arguments", **{key: arguments.pop(key) for key in KEYS if key in arguments})
    return Settings.load(source, **arguments)
