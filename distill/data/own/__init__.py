"""A user's own data as tensors: items, labels in every common form, data sets of other libraries.

distill/data/adapters.py is the one door; the parts here know no Dataset.
"""
