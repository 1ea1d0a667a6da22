"""Exchange rates of today."""

import io
from datetime import UTC, datetime

from fintech_core.db.work import unit_of_work
from fintech_core.security.actors import Actor
from transactions.exchange.services.rates import load_rates, read_ecb

ECB = b"""<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01"
    xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
  <Cube><Cube time="%s">
    <Cube currency="USD" rate="1.0837"/><Cube currency="JPY" rate="163.21"/><Cube currency="XXX" rate="1"/>
  </Cube><Cube time="1999-01-04"><Cube currency="USD" rate="9"/></Cube></Cube>
</gesmes:Envelope>"""
SYSTEM = Actor.system("test")


def load_today() -> None:
    now = datetime.now(UTC)
    day, rates = read_ecb(io.BytesIO(ECB % now.date().isoformat().encode()))
    unit_of_work(lambda: load_rates(actor=SYSTEM, source="ecb", as_of=day, rates=rates))
