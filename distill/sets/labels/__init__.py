"""Labels of a set: in words, those of changed views of its items, and labels of many classes in few bytes."""
