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
    """Log in, and save the login for later commands and for Python.

    The password comes from a prompt without echo, KAYRROS_PASSWORD or stdin; it is never an argument. It is saved only in
    the system's keyring (extra `keyring`). Without a keyring, only the token is saved: log in again when it expires. The
    email and the hosts are saved in the profile, unless the environment sets them.
    """,
    "kayrros login",
    "kayrros login --email analyst@example.com --password-stdin < password.txt",
    "kayrros login --profile staging --base-url https://staging.example.com",
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
    from kayrros_ext._config.environment import parse_text, variable
    from kayrros_ext._config.keyring import save_password
    from kayrros_ext.cli.accounts import Account

    account = Account(context.profile, new=True)
    email = parse_text(email or account.email or _prompt_for_email())
    options = {key: value for key, value in {"base_url": base_url, "auth_url": auth_url}.items() if value}
    values = _values_to_save(account, email, options)
    overrides = _overrides(account, email, options, values)
    own = f"profile {account.profile}"
    if own in overrides or (options and not values):
        raise UsageError(
            f"The {own} has its own credentials, which would override this login.",
            hint="Remove them, or choose another name with --profile.",
        )
    password = _read_password(account, email, from_stdin=password_stdin)
    hosts = {"base_url": account.base_url, "auth_url": account.auth_url, **options}
    # Whoever logs in wants the token saved, on loopback too.
    token_cache = None if variable("KAYRROS_TOKEN_CACHE") else True
    with Kayrros(email=email, password=password, token_cache=token_cache, **hosts) as kayrros:  # type: ignore[arg-type]
        identity = kayrros.login()
    cache = open_token_cache(identity.auth_url, identity.base_url, email)
    saved = ""
    if save_password(email, password):
        saved = "The password is saved in the keyring."
    elif cache is None:
        problem = "there is no directory for a cache: set KAYRROS_CACHE_DIR to one."
    elif identity.token_cache == "off":  # noqa: S105 - no password  # nosec B105
        problem = "KAYRROS_TOKEN_CACHE is off, and there is no keyring."
    elif cache.load():
        saved = "The token is saved, but not the password, because there is no keyring. Log in again when it expires."
        if password is account.source("environment").password:
            saved = "The token is saved. KAYRROS_PASSWORD is used when it expires."
    else:
        problem = f"{user_cache_dir()} is not a folder of yours that you may write to."
    context.info(f"Logged in at {identity.auth_url} as {email}. {saved or f'Nothing was saved: {problem}'}")
    if saved:
        _save_profile(context, account, values)
        for override in overrides:
            context.info(f"{override} is set and overrides this login: unset it.")


@command(
    """Delete the saved login.

    This is the token, the password in the keyring, and the email and hosts that `kayrros login` wrote into the profile.
    Credentials that you wrote into the environment, the config file or netrc stay.
    """,
    "kayrros logout",
    "kayrros logout --profile staging",
    prints_data=False,
)
def logout(context: Context) -> None:
    from kayrros_ext._config.credentials import same_email
    from kayrros_ext._config.keyring import delete_password
    from kayrros_ext._config.profiles import config_path
    from kayrros_ext.cli.profile_file import clear_profile

    account = context.account()
    if account.email is None:
        context.info("Nobody is logged in: neither the environment nor the config file has an email.")
        return
    token, cache = account.cached_token(), account.token_cache()
    if token and cache:
        cache.discard(token)
    deleted = ["the token"] * bool(token) + ["the password in the keyring"] * delete_password(account.email)
    path = config_path()
    if path and same_email(account.source("profile").email, account.email):
        keys = clear_profile(path, account.profile)
        deleted += [f"{', '.join(keys)} of profile {account.profile}"] * bool(keys)
    done = f"Logged out {account.email}. Deleted: {'; '.join(deleted)}."
    context.info(done if deleted else "There was nothing to delete.")
    if not same_email(own := account.source("profile").email, account.email):
        source = account.settings["email"].source
        context.info(f"The login of {own} (profile {account.profile}) stays, because {source} is {account.email}.")
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
    names = ("email", "source", "profile", "base_url", "auth_url", "has_token")
    fields = {name: getattr(identity, name) for name in names}
    fields["token_expires"] = identity.token_expires and identity.token_expires.isoformat()
    if context.json:
        write_json(fields)
        return
    fields["token"] = "saved" if fields.pop("has_token") else "none"
    Table("field", "value", narrow=[("value",), ("field",)]).write(
        [row for row in fields.items() if row[1] is not None]
    )


@command(
    """Show each setting and its source.

    Secrets are masked. Sends no request.
    """,
    "kayrros config",
    "kayrros config --json | jq -r .base_url.value",
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
        Table("setting", "value", "source", narrow=[("value", "source"), ("setting",)]).write(rows)


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

    is_on = use_token_cache(httpx.URL(account.base_url), httpx.URL(account.auth_url))
    is_on = account.cached_token() is not None if is_on is None else is_on  # localhost, as in Kayrros
    return [
        ("config file", str(config_path() or ""), _variable_or_default("KAYRROS_CONFIG")),
        ("cache", str(user_cache_dir() or ""), _variable_or_default("KAYRROS_CACHE_DIR")),
        ("token cache", "on" if is_on else "off", _variable_or_default("KAYRROS_TOKEN_CACHE")),
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


def _read_password(account: "Account", email: str, *, from_stdin: bool) -> "Secret":
    from kayrros_ext._config.credentials import same_email
    from kayrros_ext._secret import Secret

    environment = account.source("environment")
    if from_stdin:
        password = Secret(sys.stdin.readline().rstrip("\r\n"))
    elif environment.password and same_email(environment.email, email):  # not the password of another account
        password = environment.password
    elif sys.stdin.isatty():
        import getpass

        password = Secret(getpass.getpass("Password: ", sys.stderr))
    else:
        of_another = f" KAYRROS_PASSWORD is for {environment.email}." if environment.password else ""
        raise UsageError(
            f"There is no password for {email}.{of_another}",
            hint="Pipe it to --password-stdin, or set both KAYRROS_EMAIL and KAYRROS_PASSWORD.",
        )
    if not password.value:
        raise UsageError("The password is empty.", hint="Give it again.")
    return password


def _values_to_save(account: "Account", email: str, options: dict[str, str]) -> dict[str, str]:
    """Return what to write into the profile, so that it leads to this login without the environment.

    It is nothing where the environment alone leads there, as with the variables of `kayrros fake`, or where the profile
    has the password or token of another account.
    """
    from kayrros_ext._config.credentials import same_email

    own, environment, hosts = account.source("profile"), account.source("environment"), ("base_url", "auth_url")
    has_all = (
        environment.email and same_email(environment.email, email) and any(getattr(environment, it) for it in hosts)
    )
    if (has_all and not options) or ((own.password or own.token) and not same_email(own.email, email)):
        return {}
    is_default = {key: account.settings[key].source == "default" for key in hosts}
    return {
        "email": email,
        **{key: str(account.settings[key].value) for key in hosts if not is_default[key]},
        **options,
    }


def _overrides(account: "Account", email: str, options: dict[str, str], values: dict[str, str]) -> list[str]:
    """Return the places of settings that would lead the next command to another account or host than this login."""
    import attrs

    from kayrros_ext._config.credentials import pick, same_email
    from kayrros_ext._config.settings import find_setting

    sources = [attrs.evolve(it, **values) if it.origin == "profile" else it for it in account.sources]  # type: ignore[arg-type]
    picked = pick(sources)
    labels = [picked["token"].label("token")] if "token" in picked else []
    if "email" in picked and not same_email(picked["email"].email, email):
        labels.append(picked["email"].label("email"))
    for key, value in options.items():
        setting = find_setting(sources, key)
        labels += [str(setting.source)] if setting.value != value else []
    return labels


def _save_profile(context: Context, account: "Account", values: dict[str, str]) -> None:
    from kayrros_ext._config.profiles import config_path
    from kayrros_ext.cli.exit_codes import format_error
    from kayrros_ext.cli.profile_file import write_profile

    path = config_path()
    if values and path is None:
        context.info("There is no directory for a config file. Set KAYRROS_EMAIL, or KAYRROS_CONFIG.")
    elif values and path:
        try:
            write_profile(path, account.profile, values)
        except ConfigurationError as error:  # the login itself succeeded
            context.info(format_error(error))
