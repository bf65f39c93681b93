"""Closes every descriptor of its process.

bare: Crashed
"""

import os

os.closerange(0, 4096)
