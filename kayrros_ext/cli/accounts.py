"""The account and hosts of a command, without a request; and the token that its login has cached."""

from typing import Literal

import httpx

from kayrros_ext._auth.token_cache import TokenCache, open_token_cache
from kayrros_ext._config.credentials import KEYS, Source
from kayrros_ext._config.settings import BASE_URL, find_setting, load_sources
from kayrros_ext._secret import Secret
from kayrros_ext.errors import ConfigurationError


class Account:
    """The account and hosts from the environment and the config file.

    Args:
        profile: name of the profile, if one was requested.
        new: whether the profile may be missing from the config file.

    Attributes:
        sources: environment and profile, in order of precedence.
        profile: name of the profile that was read.
        settings: email, password, token, base_url and auth_url, each with its source.
        email: the email; None where nothing sets one.
        base_url: the data host, as Settings spells it.
        auth_url: the login host, likewise.

    Raises:
        ConfigurationError: the config file or the profile can't be read, or a host is not a URL.
    """

    def __init__(self, profile: str | None, *, new: bool = False) -> None:
        self.sources = load_sources(profile, missing_ok=new)
        self.profile = next(source.profile for source in self.sources if source.profile)
        self.settings = {key: find_setting(self.sources, key) for key in KEYS}
        email = self.settings["email"].value
        self.email = str(email) if email else None
        self.base_url, self.auth_url = (self._spelled(name) for name in ("base_url", "auth_url"))

    def source(self, origin: Literal["environment", "profile"]) -> Source:
        """Return one of the sources."""
        return next(source for source in self.sources if source.origin == origin)

    def token_cache(self) -> TokenCache | None:
        """Return the cache of its tokens; None without an email, or without a cache directory."""
        return open_token_cache(self.auth_url, self.base_url, self.email) if self.email else None

    def cached_token(self) -> Secret | None:
        """Return the token that its last login has cached, whether or not it is still valid."""
        cached = cache.load() if (cache := self.token_cache()) else None
        return cached.secret if cached else None

    def _spelled(self, name: str) -> str:
        try:
            return str(httpx.URL(str(self.settings[name].value)))
        except httpx.InvalidURL:  # its message may quote a password in the URL
            raise ConfigurationError(f"{name} is not a URL.", hint=f"Use one such as {BASE_URL}.") from None
