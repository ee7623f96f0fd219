"""Units of metrics. The API gives none, so they are derived from the end of a metric's name (assumed)."""

# Ambiguous suffixes are left out (`_m` is metres, minutes or months; `_mt` megatonnes or tonnes).
_SYMBOLS = "bbl kbbl Mbbl ppb ppm ha mcm bcm km kg t kt W kW MW GW kWh MWh GWh K USD EUR days"
UNITS = {symbol.lower(): symbol for symbol in _SYMBOLS.split()}
UNITS |= {"pct": "%", "percent": "%", "m2": "m²", "km2": "km²", "m3": "m³", "tonnes": "t", "hours": "h"}
UNITS |= {"bpd": "bbl/d", "kbpd": "kbbl/d", "tph": "t/h"}
PER = {"h": "h", "hour": "h", "d": "d", "day": "d", "s": "s", "year": "year", "yr": "year", "m2": "m²", "km2": "km²"}
# Values of several assets in these units, per time or not, or per area, don't add up (assumed). Money may be a price.
_NOT_ADDITIVE = {"%", "ppb", "ppm", "K", "km", "days", "h", "USD", "EUR"}
_STATISTICS = {"average", "avg", "density", "error", "intensity", "max", "mean", "median", "min", "std", "uncertainty"}
_STATISTICS |= {"percentile", "quantile", "p5", "p10", "p25", "p50", "p75", "p90", "p95", "p99"}


def split_unit(metric: str) -> tuple[str, str | None]:
    """Split a metric into a readable name and its unit: stored_volume_bbl gives "stored volume" and "bbl"."""
    *head, last = metric.split("_")
    if head and head[-1].lower() != "per" and last.lower() in UNITS:
        return " ".join(head), UNITS[last.lower()]
    *name, numerator = (head[:-1] if head and head[-1].lower() == "per" else head) or [""]
    if name and last.lower() in PER and numerator.lower() in UNITS:
        return " ".join(name), f"{UNITS[numerator.lower()]}/{PER[last.lower()]}"
    return " ".join([*head, last]), None


def unit_of(metric: str) -> str | None:
    """Return the unit of a metric, or None where its name has none: "bbl" of stored_volume_bbl."""
    return split_unit(metric)[1]


def is_additive(metric: str) -> bool:
    """Return whether the values of several assets add up, judging by the name: those of a volume, not of a percentage."""
    name, unit = split_unit(metric)
    is_amount = unit is not None and unit.split("/")[0] not in _NOT_ADDITIVE and not unit.endswith(("/m²", "/km²"))
    return is_amount and _STATISTICS.isdisjoint(name.lower().split())
