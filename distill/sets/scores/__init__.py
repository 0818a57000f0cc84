"""The scores of a set in words and rows, as its page, its card and the terminal show them."""
