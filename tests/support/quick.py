"""A schema validator for openapi-core that accepts valid values a hundred times faster.

jsonschema-rs validates first. jsonschema validates what it rejects, and describes the errors. Without jsonschema-rs (in
`make test-oldest`), jsonschema validates everything.
"""

import importlib.util
import json
from collections.abc import Callable
from typing import Any

from openapi_core.validation.schemas import oas31_schema_validators_factory
from openapi_core.validation.schemas.factories import DialectSchemaValidatorsFactory
from openapi_core.validation.schemas.validators import SchemaValidator
from openapi_schema_validator import OAS31_BASE_DIALECT_ID, OAS31Validator

HAS_QUICK = importlib.util.find_spec("jsonschema_rs") is not None
if HAS_QUICK:
    import jsonschema_rs

# jsonschema-rs validates only formats of strings.
_BOUNDS = {f"int{bits}": {"minimum": -(2 ** (bits - 1)), "maximum": 2 ** (bits - 1) - 1} for bits in (32, 64)}


class QuickFactory(DialectSchemaValidatorsFactory):
    """The factory that openapi-core asks for the validator of a schema; it makes each one once."""

    def __init__(self, components: dict[str, Any]) -> None:
        super().__init__(OAS31Validator, OAS31_BASE_DIALECT_ID, oas31_schema_validators_factory.format_checker)
        self._components = components
        self._made: dict[Any, SchemaValidator] = {}

    def create(self, spec: Any, schema: Any, *args: Any, **settings: Any) -> SchemaValidator:
        """Return the quick validator with that of openapi-core behind it."""
        if schema not in self._made:
            slow = super().create(spec, schema, *args, **settings)
            self._made[schema] = _Quick(schema, slow.validator, self._judge(slow.validator.schema))
        return self._made[schema]

    def _judge(self, schema: Any) -> Callable[[Any], bool]:
        if not HAS_QUICK:
            return lambda _: False
        whole = json.loads(json.dumps({**schema, "components": self._components}), object_hook=_bounded)
        return jsonschema_rs.Draft202012Validator(whole, validate_formats=True).is_valid


def _bounded(schema: dict[str, Any]) -> dict[str, Any]:
    bounds = _BOUNDS.get(str(schema.get("format")))
    return {"allOf": [schema, bounds]} if bounds else schema


class _Quick(SchemaValidator):
    def __init__(self, schema: Any, validator: Any, is_valid: Callable[[Any], bool]) -> None:
        super().__init__(schema, validator)
        self._is_valid = is_valid

    def validate(self, value: Any) -> None:
        try:
            if self._is_valid(value):
                return
        except (TypeError, ValueError):  # not JSON, such as bytes
            pass
        super().validate(value)

    def evolve(self, schema: Any) -> SchemaValidator:
        return SchemaValidator(self.schema, self.validator).evolve(schema)
