"""Reads at address zero.

bare: Crashed SIGSEGV
gated: Rejected allow_list: imports ctypes
"""

import ctypes

ctypes.string_at(0)
