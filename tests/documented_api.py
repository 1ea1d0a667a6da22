"""The operations of the API's schema."""

from functools import cache

from drf_spectacular.generators import SchemaGenerator


@cache
def operations() -> frozenset[tuple[str, str]]:
    schema = SchemaGenerator().get_schema(request=None, public=True)
    return frozenset((method.upper(), path) for path, methods in schema["paths"].items() for method in methods)
