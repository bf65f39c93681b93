"""Ends Python.

bare: Crashed SystemExit: 3
gated: Rejected allow_list: uses SystemExit
"""

raise SystemExit(3)
