"""Dies of an exception with a message of 100 MB.

bare: Crashed ValueError: xxxx
gated: Rejected instantiate: ValueError: xxxx
"""

raise ValueError("x" * (100 << 20))
