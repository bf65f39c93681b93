"""Has a metaclass that makes a new class for every model.

bare: Scored honest
gated: Scored honest
"""

from foundry.models.v1 import GPT as Honest


class Maker(type):
    def __call__(cls, *args):
        made = type.__new__(type(cls), "GPT", (cls,), {})
        return type.__call__(made, *args)


class GPT(Honest, metaclass=Maker):
    pass
