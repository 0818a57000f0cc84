"""How the files of a data set are read: one file here per kind of file, each with its checks.

It imports errors only. Images come back as ImageArrays (arrays.py), texts as rows of columns (rows.py). It
has no table: a new kind of image file is a function that returns ImageArrays, called by data/images.py.
"""
