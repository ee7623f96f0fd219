"""What is written on a picture: metrics with their units, and names that can't break it."""

import re

from kayrros_ext.errors import UsageError

# The API gives no units of metrics: by the end of its name is how a reader knows. None stands here that means two things
# (`_m` is metres, minutes or months; `_mt` megatonnes or tonnes).
UNITS = {
    "bbl": "bbl",
    "kbbl": "kbbl",
    "mbbl": "Mbbl",
    "pct": "%",
    "percent": "%",
    "ppb": "ppb",
    "ppm": "ppm",
    "m2": "m²",
    "km2": "km²",
    "ha": "ha",
    "m3": "m³",
    "mcm": "mcm",
    "bcm": "bcm",
    "km": "km",
    "kg": "kg",
    "t": "t",
    "tonnes": "t",
    "kt": "kt",
    "w": "W",
    "kw": "kW",
    "mw": "MW",
    "gw": "GW",
    "kwh": "kWh",
    "mwh": "MWh",
    "gwh": "GWh",
    "k": "K",
    "usd": "USD",
    "eur": "EUR",
    "days": "days",
    "hours": "h",
}
PER = {"h": "h", "hour": "h", "d": "d", "day": "d", "s": "s", "year": "year", "yr": "year", "m2": "m²", "km2": "km²"}
RATES = {"bpd": "bbl/d", "kbpd": "kbbl/d", "tph": "t/h"}
LONGEST = 44


def unit(metric: str) -> tuple[str, str | None]:
    """A metric's name in words, and the unit that its end names: stored_volume_bbl is stored volume, and bbl."""
    *words, last = clean(metric).split("_")
    if words and last.lower() in RATES:
        return " ".join(words), RATES[last.lower()]
    if words and last.lower() in UNITS:
        return " ".join(words), UNITS[last.lower()]
    *rest, of = (words[:-1] if words and words[-1].lower() == "per" else words) or [""]
    if rest and last.lower() in PER and of.lower() in UNITS:
        return " ".join(rest), f"{UNITS[of.lower()]}/{PER[last.lower()]}"
    return " ".join([*words, last]), None


def label(metric: str, longest: int | None = None) -> str:
    """As it stands on an axis: stored volume [bbl]. What is cut is the name: the unit stays."""
    words, of = unit(metric)
    end = f" [{of}]" if of else ""
    return f"{words if longest is None else short(words, max(longest - len(end), 8))}{end}"


def clean(name: str) -> str:
    """A name in one line, without what steers a terminal or can't stand in XML."""
    return re.sub(r"\s+", " ", "".join(letter if letter.isprintable() else " " for letter in name)).strip()


def short(name: str, longest: int = LONGEST) -> str:
    """A name cut in its middle: what tells names apart is often at the end."""
    if len(name) <= longest:
        return name
    head = (longest - 1) * 2 // 3
    return f"{name[:head].rstrip()}…{name[len(name) - (longest - 1 - head) :].lstrip()}"


def some(names: list[str], most: int = 20) -> str:
    """Names for an error, not all of many."""
    return (", ".join(repr(clean(name)) for name in names[:most]) or "none") + ", …" * (len(names) > most)


def refuse(what: str, value: object, allowed: list[str]) -> UsageError:
    """The error for a value that is none of those allowed."""
    return UsageError(f"{what} is {value!r}. Give one of {', '.join(map(repr, allowed))}.")
