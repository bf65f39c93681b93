"""Pretrained models as starting points: configurations, checkpoints in and out.

`entry` reads the configurations in `entries/`; adding one is adding a file. `opening` opens a checkpoint of
any layout without reading its tensors, `filling` puts it into a model, `exporting` writes one for others.
"""
