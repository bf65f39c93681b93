"""Let a head of its own learn faster or slower than the rest.

Yang et al., "Tensor Programs V: Tuning Large Neural Networks via Zero-Shot Hyperparameter Transfer" (2022),
which gives embeddings, the head and the matrices between them rates of their own.
"""

from operators.syntax.rate_factor import RateFactor, examples


class HeadRate(RateFactor):
    name = "head_lr"
    key = "head_lr_factor"
    part = "the head"
    summary = "Scale the learning rate of the head alone, where it is not tied to the embeddings."
    examples = examples("head_lr_factor")


OPERATOR = HeadRate()
