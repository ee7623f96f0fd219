"""`kayrros login`, `logout`, `whoami` and `config`."""

import os
import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from kayrros_ext.cli.common import Run, command
from kayrros_ext.cli.output import Table, write_json
from kayrros_ext.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from kayrros_ext import Identity
    from kayrros_ext._secret import Secret
    from kayrros_ext.cli.accounts import Account

app = typer.Typer()


@command(
    app,
    "login",
    "kayrros login",
    "kayrros login --email analyst@example.com --password-stdin < password.txt",
    "kayrros login --profile staging --base-url https://data.example.com --auth-url https://auth.example.com",
    prints_data=False,
)
def login(
    run: Run,
    email: Annotated[
        str | None,
        typer.Option("--email", metavar="EMAIL", help="Account; else KAYRROS_EMAIL, the profile's, or asked for."),
    ] = None,
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")] = False,  # noqa: FBT002
    base_url: Annotated[
        str | None, typer.Option("--base-url", metavar="URL", help="Data host, for the profile.")
    ] = None,
    auth_url: Annotated[
        str | None, typer.Option("--auth-url", metavar="URL", help="Login host, for the profile.")
    ] = None,
) -> None:
    """Log in once, and keep what that takes.

    The password is asked for without echo, or comes from KAYRROS_PASSWORD or stdin; it is never an argument. It is kept in
    the system's keyring where there is one (extra `keyring`), and nowhere else: without, the token of this login is kept,
    and once it ends you log in again. The email, and hosts that you give, go into the profile.
    """
    from kayrros_ext import Kayrros
    from kayrros_ext._config.keyring import save_password
    from kayrros_ext.cli.accounts import Account

    account = Account(run.profile, new=True)
    email = email or account.email or _asked_for_email()
    _check_profile(account, email)
    password = _password(from_stdin=password_stdin)
    hosts = {"base_url": base_url or account.base_url, "auth_url": auth_url or account.auth_url}
    with Kayrros(email=email, password=password, **hosts) as kayrros:  # type: ignore[arg-type]
        me = kayrros.login()
    kept = save_password(email, password)
    given = {"base_url": base_url, "auth_url": auth_url}
    _keep_account(run, account, {"email": email, **{key: value for key, value in given.items() if value}})
    run.say(f"Logged in at {me.auth_url} as {email}. {_what_is_kept(me, kept=kept)}")
    if account.settings["token"].value:
        run.say("KAYRROS_TOKEN is set, and comes before this login: unset it.")


@command(app, "logout", "kayrros logout", "kayrros logout --profile staging", prints_data=False)
def logout(run: Run) -> None:
    """Forget the token, and the password in the keyring.

    What the environment, the config file or netrc hold is yours, and stays.
    """
    from kayrros_ext._config.keyring import delete_password

    account = run.account()
    if account.email is None:
        run.say("Nobody is logged in: neither the environment nor the config file names an email.")
        return
    token, cache = account.cached_token(), account.token_cache()
    if token and cache:
        cache.discard(token)
    forgot = [name for name, was in (("token", token), ("password", delete_password(account.email))) if was]
    run.say(f"Forgot the {' and the '.join(forgot)} of {account.email}." if forgot else "There was nothing to forget.")
    if left := [setting.source for key in ("password", "token") if (setting := account.settings[key]).value]:
        run.say(f"Still there: {', '.join(map(str, left))}.")


@command(app, "whoami", "kayrros whoami", "kayrros whoami --json | jq -r .email")
def whoami(run: Run) -> None:
    """Show whose account it is, and by what; nothing is sent."""
    with run.connect() as kayrros:
        me = kayrros.whoami()
    kept = me.source == "arguments"  # which a command has none of: it is the token that a login has kept
    account = run.account()
    found = {
        "email": me.email or (account.email if kept else None),
        "source": "login" if kept else me.source,
        "profile": me.profile,
        "base_url": me.base_url,
        "auth_url": me.auth_url,
        "has_token": me.has_token,
        "token_expires": me.token_expires and me.token_expires.isoformat(),
    }
    if run.json:
        write_json(found)
    else:
        words = {True: "yes", False: "no"}
        rows = [(name, words[value] if isinstance(value, bool) else value) for name, value in found.items()]
        Table("what", "value", whole=["what"]).write([row for row in rows if row[1] is not None])


@command(app, "config", "kayrros config", "kayrros config --profile staging --json")
def config(run: Run) -> None:
    """Show each setting and where it comes from.

    Secrets are masked, and nothing is sent.
    """
    import httpx

    from kayrros_ext._auth.token_cache import user_cache_dir
    from kayrros_ext._config.credentials import load_netrc
    from kayrros_ext._config.keyring import load_password
    from kayrros_ext._config.profiles import config_path
    from kayrros_ext._config.settings import use_token_cache

    account = run.account()
    base, auth = httpx.URL(account.base_url), httpx.URL(account.auth_url)
    rows = [("profile", account.profile, "--profile" if run.profile else _source("KAYRROS_PROFILE"))]
    for key, (value, source) in account.settings.items():
        if value:
            rows.append((key, _masked_url(str(value)) if key.endswith("_url") else str(value), str(source)))
    if account.email and (stored := load_password(account.email)):
        rows.append(("password", str(stored[1]), "keyring"))
    if (entry := load_netrc(auth.host)) and account.email in {None, entry[0]}:
        rows.append(("password", str(entry[1]), f"netrc, of {entry[0]}"))
    if token := account.cached_token():
        rows.append(("token", str(token), "kept of a login"))
    rows.append(("config file", str(config_path() or ""), _source("KAYRROS_CONFIG")))
    rows.append(("cache", str(user_cache_dir() or ""), _source("KAYRROS_CACHE_DIR")))
    rows.append(("token cache", "on" if use_token_cache(base, auth) else "off", _source("KAYRROS_TOKEN_CACHE")))
    if run.json:
        write_json([{"setting": name, "value": value, "source": source} for name, value, source in rows])
    else:
        Table("setting", "value", "source", whole=["setting"]).write(rows)


def _masked_url(url: str) -> str:
    """A host that was given with a password or a token in it, which other commands refuse, is shown without."""
    return re.sub(r"(?<=[?#]).+", "**********", re.sub(r"^(\w+://)?.*@", r"\1**********@", url))


def _source(variable: str) -> str:
    return variable if os.environ.get(variable) else "default"


def _asked_for_email() -> str:
    if not sys.stdin.isatty():
        raise UsageError("There is no email. Give --email, or set KAYRROS_EMAIL.")
    return str(typer.prompt("Email", err=True))


def _password(*, from_stdin: bool) -> "Secret":
    from kayrros_ext._secret import Secret

    if from_stdin:
        found = sys.stdin.readline().rstrip("\r\n")
    elif not (found := os.environ.get("KAYRROS_PASSWORD", "")):
        if not sys.stdin.isatty():
            raise UsageError(
                "There is no password. Set KAYRROS_PASSWORD, or give --password-stdin and the password there."
            )
        import getpass

        found = getpass.getpass("Password: ", sys.stderr)
    if not found:
        raise UsageError("The password is empty. Give it again.")
    return Secret(found)


def _check_profile(account: "Account", email: str) -> None:
    """A profile with a password or token of its own would still use that one."""
    own = f"profile {account.profile}"
    settings = account.settings
    if settings["token"].source == own or (settings["password"].source == own and settings["email"].value != email):
        raise UsageError(
            f"The {own} holds credentials of its own, which would come before this login. Take them out, or choose another "
            "name with --profile."
        )


def _keep_account(run: Run, account: "Account", values: dict[str, str]) -> None:
    from kayrros_ext._config.profiles import config_path
    from kayrros_ext.cli.profile_file import write_profile

    path = config_path()
    if path is None:
        run.say("There is no place for a config file. Set KAYRROS_EMAIL, or KAYRROS_CONFIG.")
        return
    try:
        write_profile(path, account.profile, values)
    except ConfigurationError as error:  # the login itself is done
        run.say(str(error))


def _what_is_kept(me: "Identity", *, kept: bool) -> str:
    if kept:
        return "The password is in the keyring."
    if me.token_cache == "off":  # noqa: S105 - no password  # nosec B105
        return (
            "Nothing is kept: the token of a host that is this machine is with KAYRROS_TOKEN_CACHE=on alone. Set that, or "
            "KAYRROS_PASSWORD for the other commands."
        )
    return "The token is kept, the password is not, for want of a keyring: log in again once the token has ended."
