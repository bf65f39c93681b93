"""Fills the stack of C, which Python's own limit would prevent.

bare: Crashed
gated: Rejected allow_list: imports sys
"""

import sys


class Deep:
    def __getitem__(self, depth):
        return sorted([depth], key=self.__getitem__)


sys.setrecursionlimit(10**6)
Deep()[0]
