"""`kayrros login`, `kayrros logout`, `kayrros whoami` and `kayrros config`."""

import os
import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from kayrros_ext.cli.context import Context, command
from kayrros_ext.cli.output import Table, write_json
from kayrros_ext.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from kayrros_ext._secret import Secret
    from kayrros_ext.cli.accounts import Account


@command(
    """Log in, and save the login for later commands.

    The password comes from a prompt without echo, KAYRROS_PASSWORD or stdin; it is never an argument. It is saved only in
    the system's keyring (extra `keyring`). Without a keyring, only the token is saved: log in again when it expires. The
    email and any hosts you pass are saved in the profile.
    """,
    "kayrros login",
    "kayrros login --email analyst@example.com --password-stdin < password.txt",
    "kayrros login --profile staging --base-url https://data.example.com --auth-url https://auth.example.com",
    prints_data=False,
)
def login(
    context: Context,
    *,
    email: Annotated[
        str | None,
        typer.Option("--email", metavar="EMAIL", help="Account. [default: KAYRROS_EMAIL, the profile, or a prompt]"),
    ] = None,
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")] = False,
    base_url: Annotated[
        str | None, typer.Option("--base-url", metavar="URL", help="Data host to save in the profile.")
    ] = None,
    auth_url: Annotated[
        str | None, typer.Option("--auth-url", metavar="URL", help="Login host to save in the profile.")
    ] = None,
) -> None:
    from kayrros_ext import Kayrros
    from kayrros_ext._auth.token_cache import open_token_cache, user_cache_dir
    from kayrros_ext._config.keyring import save_password
    from kayrros_ext.cli.accounts import Account

    account = Account(context.profile, new=True)
    email = (email or account.email or _prompt_for_email()).strip()
    _check_profile(account, email)
    password = _read_password(from_stdin=password_stdin)
    hosts = {"base_url": base_url or account.base_url, "auth_url": auth_url or account.auth_url}
    with Kayrros(email=email, password=password, **hosts) as kayrros:  # type: ignore[arg-type]
        identity = kayrros.login()
    cache = open_token_cache(identity.auth_url, identity.base_url, email)
    if save_password(email, password):
        saved = "The password is saved in the keyring."
    elif cache is None:
        saved = "Nothing was saved, because there is no directory for a cache: set KAYRROS_CACHE_DIR to one."
    elif identity.token_cache == "off":  # noqa: S105 - no password  # nosec B105
        saved = "Nothing was saved: tokens for localhost are cached only with KAYRROS_TOKEN_CACHE=on."
    elif cache.load():
        saved = "The token is saved, but not the password, because there is no keyring. Log in again when it expires."
    else:
        saved = f"Nothing was saved: {user_cache_dir()} is not a folder of yours that you may write to."
    values = {"email": email, "base_url": base_url, "auth_url": auth_url}
    _save_profile(context, account, {name: value for name, value in values.items() if value})
    context.info(f"Logged in at {identity.auth_url} as {email}. {saved}")
    if account.settings["token"].value:
        context.info("KAYRROS_TOKEN is set and overrides this login: unset it.")


@command(
    """Delete the saved token, and the password in the keyring.

    Credentials in the environment, the config file or netrc are yours, and stay.
    """,
    "kayrros logout",
    "kayrros logout --profile staging",
    prints_data=False,
)
def logout(context: Context) -> None:
    from kayrros_ext._config.keyring import delete_password

    account = context.account()
    if account.email is None:
        context.info("Nobody is logged in: neither the environment nor the config file has an email.")
        return
    token, cache = account.cached_token(), account.token_cache()
    if token and cache:
        cache.discard(token)
    had_password = delete_password(account.email)
    deleted = ["token"] * bool(token) + ["password"] * had_password
    if deleted:
        context.info(f"Deleted the {' and the '.join(deleted)} of {account.email}.")
    else:
        context.info("There was nothing to delete.")
    if left := [setting.source for key in ("password", "token") if (setting := account.settings[key]).value]:
        context.info(f"Still set: {', '.join(map(str, left))}.")


@command(
    """Show the account and the source of its credentials. Sends no request.""",
    "kayrros whoami",
    "kayrros whoami --json | jq -r .email",
)
def whoami(context: Context) -> None:
    with context.connect() as kayrros:
        identity = kayrros.whoami()
    account = context.account()
    uses_saved_token = identity.source == "arguments"  # connect passes nothing else as an argument
    fields = {
        "email": identity.email or (account.email if uses_saved_token else None),
        "source": "login" if uses_saved_token else identity.source,
        "profile": account.profile if uses_saved_token else identity.profile,
        "base_url": identity.base_url,
        "auth_url": identity.auth_url,
        "has_token": identity.has_token,
        "token_expires": identity.token_expires and identity.token_expires.isoformat(),
    }
    if context.json:
        write_json(fields)
        return
    fields["has_token"] = "yes" if identity.has_token else "no"
    Table("field", "value", keep=["field"]).write([row for row in fields.items() if row[1] is not None])


@command(
    """Show each setting and its source.

    Secrets are masked. Sends no request.
    """,
    "kayrros config",
    "kayrros config --profile staging --json",
)
def config(context: Context) -> None:
    account = context.account()
    rows = [("profile", account.profile, "--profile" if context.profile else _variable_or_default("KAYRROS_PROFILE"))]
    for key, (value, source) in account.settings.items():
        if value:
            rows.append((key, _mask_url(str(value)) if key.endswith("_url") else str(value), str(source)))
    rows += [*_saved_credentials(account), *_places(account)]
    if context.json:
        settings: dict[str, dict[str, str | None]] = {}
        for name, value, source in rows:  # of a secret with two sources, the first one counts
            settings.setdefault(name.replace(" ", "_"), {"value": value, "source": source})
        write_json(settings)
    else:
        Table("setting", "value", "source", keep=["setting"]).write(rows)


def _saved_credentials(account: "Account") -> list[tuple[str, str, str]]:
    import httpx

    from kayrros_ext._config.credentials import load_netrc
    from kayrros_ext._config.keyring import load_password

    rows = []
    if account.email and (stored := load_password(account.email)):
        rows.append(("password", str(stored[1]), "keyring"))
    if (entry := load_netrc(httpx.URL(account.auth_url).host)) and account.email in {None, entry[0]}:
        rows.append(("password", str(entry[1]), f"netrc, of {entry[0]}"))
    if token := account.cached_token():
        rows.append(("token", str(token), "saved by a login"))
    return rows


def _places(account: "Account") -> list[tuple[str, str, str]]:
    import httpx

    from kayrros_ext._auth.token_cache import user_cache_dir
    from kayrros_ext._config.profiles import config_path
    from kayrros_ext._config.settings import use_token_cache

    token_cache = "on" if use_token_cache(httpx.URL(account.base_url), httpx.URL(account.auth_url)) else "off"
    return [
        ("config file", str(config_path() or ""), _variable_or_default("KAYRROS_CONFIG")),
        ("cache", str(user_cache_dir() or ""), _variable_or_default("KAYRROS_CACHE_DIR")),
        ("token cache", token_cache, _variable_or_default("KAYRROS_TOKEN_CACHE")),
    ]


def _mask_url(url: str) -> str:
    """Mask a password or query in a URL, which the other commands refuse."""
    return re.sub(r"(?<=[?#]).+", "**********", re.sub(r"^(\w+://)?.*@", r"\1**********@", url))


def _variable_or_default(variable: str) -> str:
    return variable if os.environ.get(variable) else "default"


def _prompt_for_email() -> str:
    if not sys.stdin.isatty():
        raise UsageError("There is no email.", hint="Give --email, or set KAYRROS_EMAIL.")
    return str(typer.prompt("Email", err=True))


def _read_password(*, from_stdin: bool) -> "Secret":
    from kayrros_ext._secret import Secret

    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif not (password := os.environ.get("KAYRROS_PASSWORD", "").rstrip("\r\n")):
        if not sys.stdin.isatty():
            raise UsageError("There is no password.", hint="Set KAYRROS_PASSWORD, or pipe it to --password-stdin.")
        import getpass

        password = getpass.getpass("Password: ", sys.stderr)
    if not password:
        raise UsageError("The password is empty.", hint="Give it again.")
    return Secret(password)


def _check_profile(account: "Account", email: str) -> None:
    """Refuse a profile whose own password or token would take precedence over the login."""
    own, settings = f"profile {account.profile}", account.settings
    if settings["token"].source == own or (settings["password"].source == own and settings["email"].value != email):
        raise UsageError(
            f"The {own} has its own credentials, which would override this login.",
            hint="Remove them, or choose another name with --profile.",
        )


def _save_profile(context: Context, account: "Account", values: dict[str, str]) -> None:
    from kayrros_ext._config.profiles import config_path
    from kayrros_ext.cli.exit_codes import format_error
    from kayrros_ext.cli.profile_file import write_profile

    path = config_path()
    if path is None:
        context.info("There is no directory for a config file. Set KAYRROS_EMAIL, or KAYRROS_CONFIG.")
        return
    try:
        write_profile(path, account.profile, values)
    except ConfigurationError as error:  # the login itself succeeded
        context.info(format_error(error))
