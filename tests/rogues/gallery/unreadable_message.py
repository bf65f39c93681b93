"""Dies of an exception whose message cannot be read.

bare: Crashed
gated: Rejected instantiate: Unreadable: its message cannot be read
"""


class Unreadable(Exception):
    def __str__(self):
        return 1 / 0


raise Unreadable
