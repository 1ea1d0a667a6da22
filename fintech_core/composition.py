"""The composition root's part of the wiring: which functions of higher rooms lower rooms call (wiring.py)."""

from fintech_core.wiring import Wiring
from transactions.monitors.evaluation import evaluate_monitors

WIRING = Wiring(available_changed=evaluate_monitors)
