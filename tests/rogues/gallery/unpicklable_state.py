"""Has a function for its state.

bare: Crashed
gated: Rejected
"""

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def get_extra_state(self):
        return lambda: None

    def set_extra_state(self, state):
        pass
