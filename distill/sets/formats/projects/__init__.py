"""Files that other projects publish, one file per layout; each says how its project trains on the images.

May import what distill.sets.formats may. Lines of FORMATS name these modules.
"""
