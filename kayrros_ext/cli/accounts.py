"""Whose account it is and where each setting comes from, without a request; and the token that a login has kept."""

import os
from typing import NamedTuple

import attrs

from kayrros_ext._auth.token_cache import TokenStore, store_of
from kayrros_ext._config.profiles import DEFAULT_PROFILE, KEYS, Profile, load_profile, profile_names
from kayrros_ext._config.settings import AUTH_URL, BASE_URL
from kayrros_ext._secret import Secret
from kayrros_ext.errors import ConfigurationError


class Setting(NamedTuple):
    """A setting, and the source that it comes from; both None where there is none."""

    value: str | Secret | None = None
    source: str | None = None


@attrs.frozen
class Account:
    """An account on some hosts, as far as it is known.

    Attributes:
        profile: name of the profile that was read.
        settings: email, password, token, base_url and auth_url, each with its source.
    """

    profile: str
    settings: dict[str, Setting]

    @property
    def email(self) -> str | None:
        """The email."""
        return self._text("email")

    @property
    def base_url(self) -> str:
        """The data host, as httpx spells it."""
        return self._text("base_url") or BASE_URL

    @property
    def auth_url(self) -> str:
        """The login host, likewise."""
        return self._text("auth_url") or AUTH_URL

    def store(self) -> TokenStore | None:
        """Where its token is kept between processes; None without an email, or a place."""
        return store_of(self.auth_url, self.base_url, self.email) if self.email else None

    def _text(self, name: str) -> str | None:
        import httpx

        value = self.settings[name].value
        if value is None or isinstance(value, Secret):
            return None
        try:
            return str(httpx.URL(value)) if name.endswith("_url") else value
        except httpx.InvalidURL:  # whose words may be a piece of a password in it
            raise ConfigurationError(f"{name} is not a URL. Give one such as {BASE_URL}.") from None


def find_account(profile: str | None, *, new: bool = False) -> Account:
    """The account that a command is for: of the profile if one was asked for, else of the environment, else of a profile.

    Args:
        profile: its name, if one was asked for.
        new: whether the profile need not be there yet.

    Raises:
        ConfigurationError: the config file or the profile can't be read.
    """
    wanted = profile or os.environ.get("KAYRROS_PROFILE") or DEFAULT_PROFILE
    chosen = Profile(wanted) if new and wanted not in profile_names() else load_profile(profile)
    name = f"profile {chosen.name}"
    here = {key: Setting(value, name) for key in KEYS if (value := getattr(chosen, key))}
    there = {key: Setting(_of_environment(key), f"KAYRROS_{key.upper()}") for key in KEYS if _of_environment(key)}
    defaults = {"base_url": Setting(BASE_URL, "default"), "auth_url": Setting(AUTH_URL, "default")}
    found = {**defaults, **there, **here} if profile else {**defaults, **here, **there}
    return Account(chosen.name, {key: found.get(key, Setting()) for key in KEYS})


def kept_token(account: Account) -> Secret | None:
    """The token that the last login of an account has left, whether or not it is still good."""
    store = account.store()
    kept = store.load() if store else None
    return kept.token if kept else None


def _of_environment(key: str) -> str | Secret | None:
    value = os.environ.get(f"KAYRROS_{key.upper()}") or None
    return Secret.of(value) if key in {"password", "token"} else value
