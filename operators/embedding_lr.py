"""Let embeddings learn faster or slower than the rest: each token's row sees few of the gradients.

Yang et al., "Tensor Programs V: Tuning Large Neural Networks via Zero-Shot Hyperparameter Transfer" (2022),
which gives embeddings, the head and the matrices between them rates of their own.
"""

from operators.syntax.rate_factor import RateFactor, examples


class EmbeddingRate(RateFactor):
    name = "embedding_lr"
    key = "embedding_lr_factor"
    part = "embeddings"
    summary = "Scale the learning rate of embeddings alone, and of a head tied to them."
    examples = examples("embedding_lr_factor")


OPERATOR = EmbeddingRate()
