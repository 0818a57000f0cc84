"""How the files of a data set are read: one file here per kind of file, each with its checks.

It imports errors, and own/labels.py for the forms of labels. Images come back as ImageArrays (arrays.py),
texts as rows of columns (rows.py). What one picture can be is in image_file.py, what a file may ask of the
machine in limits.py. It has no table: a new kind of image file is a function that returns ImageArrays, called
by data/images.py.
"""
