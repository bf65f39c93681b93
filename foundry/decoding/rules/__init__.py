"""What to do with the newest positions, operation by operation; importing this fills the table of rules."""

from foundry.decoding.rules import dimensions, elementwise, indexing, products, shapes

__all__ = ["dimensions", "elementwise", "indexing", "products", "shapes"]
