"""Labels per augmentation: a teacher's soft labels for each changed view of a set's items, stored in the set.

So a student trains as if the teacher stood beside it, and no teacher is needed (FKD, Shen and Xing 2022).
schedule.py makes a view again from its number, labels.py stores what a teacher says of each, fkd.py is the
protocol that trains on them, settings.py holds the options. It may import what the room of the students may.
"""
