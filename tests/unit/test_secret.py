"""A Secret shows itself nowhere, and redact hides it in text of others."""

import copy
import dataclasses
import json
import logging
import pprint
from collections.abc import Iterator

import attrs
import pytest

from kayrros_ext._config.settings import Settings
from kayrros_ext._secret import HIDDEN, Secret, redact
from tests.support.leaks import PASSWORD, TOKEN, shows_a_secret
from tests.support.settings import load_settings


@dataclasses.dataclass
class Holder:
    secret: Secret


@pytest.fixture
def settings() -> Settings:
    return load_settings(email="e", password=PASSWORD, token=TOKEN)


def shown(settings: Settings) -> Iterator[str]:
    """All common ways in which a program shows an object."""
    assert settings.password
    secret = settings.password
    yield from (repr(settings), str(settings), f"{settings}", repr(secret), str(secret), f"{secret}", f"{secret!r:>20}")
    yield from (str(vars(Secret)), "%s" % settings.token, "{:>20}".format(settings.token))  # noqa: UP031, UP032
    yield from (repr(attrs.asdict(settings)), json.dumps(attrs.asdict(settings), default=str), pprint.pformat(settings))
    yield repr(dataclasses.asdict(Holder(secret)))


def test_a_secret_is_hidden(settings: Settings) -> None:
    """Repr, str, format, and dicts and JSON of an object that holds a secret show asterisks."""
    assert not [text for text in shown(settings) if shows_a_secret(text)]
    assert f"{settings.token:>13}" == f"   {'*' * 10}"
    with pytest.raises(TypeError):
        vars(settings.token)


def test_log_records_show_no_secret(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """A secret is hidden as an argument, as an extra, and in the JSON of a structured formatter."""
    logging.getLogger("some.user").warning("%s %r", settings, settings.token, extra={"settings": settings})
    [record] = caplog.records
    assert not shows_a_secret(record.getMessage() + json.dumps(vars(record), default=str) + caplog.text)


def test_a_copy_is_the_secret() -> None:
    """Copies within the process keep the value."""
    secret = Secret(TOKEN)
    copies = [copy.copy(secret), copy.deepcopy(secret), dataclasses.asdict(Holder(secret))["secret"]]
    assert [copied.value for copied in copies] == [TOKEN] * 3


def test_secrets_compare_by_value() -> None:
    """Equal secrets have equal hashes. A secret never equals a plain string."""
    assert Secret("a") == Secret("a")
    assert {Secret("a")} == {Secret("a"), Secret("a")}
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"


def test_parse_treats_an_empty_string_as_unset() -> None:
    """None and an empty string give None; a secret is returned as it is."""
    secret = Secret("a")
    assert Secret.parse("a") == secret
    assert Secret.parse(secret) is secret
    assert Secret.parse("") is Secret.parse(None) is None


@pytest.mark.parametrize(
    "echo", ['pa"ss wö/rd', '"pa\\"ss w\\u00f6/rd"', '"pa\\"ss wö/rd"', "pa%22ss%20w%C3%B6/rd", "pa%22ss+w%C3%B6%2Frd"]
)
def test_redact_hides_common_spellings(echo: str) -> None:
    """A server may repeat a secret as it is, in JSON or in a URL."""
    text = redact(f"you sent {echo} and other", [Secret('pa"ss wö/rd'), Secret("other")])
    assert text.replace('"', "") == f"you sent {HIDDEN} and {HIDDEN}"


def test_redact_leaves_words_alone() -> None:
    """A password of three letters is also part of words, which would show it if they were hidden."""
    assert redact("a pass word", [Secret("a"), Secret("ass")]) == "a pass word"
