"""The gateways that exist. A gateway translates between a provider's wire format and ours; it touches no database."""

from collections.abc import Mapping

from django.conf import settings

from payments.gateways.base import Gateway
from payments.gateways.simulator import SimulatorGateway

_CLASSES: Mapping[str, type[Gateway]] = {"simulator": SimulatorGateway}
_GATEWAYS: Mapping[str, Gateway] = {name: _CLASSES[name]() for name in settings.PAYMENT_GATEWAYS}


def known_gateway(name: str) -> Gateway | None:
    """A gateway by name, also while it is switched off: its earlier events are still processed."""
    return _GATEWAYS.get(name)


def enabled_gateway(name: str) -> Gateway | None:
    """A gateway that takes payments and events now."""
    gateway = known_gateway(name)
    return gateway if gateway is not None and gateway.is_enabled() else None


def enabled_names() -> list[str]:
    return [name for name, gateway in _GATEWAYS.items() if gateway.is_enabled()]
