"""Aborts.

bare: Crashed was killed by SIG
"""

import os

os.abort()
