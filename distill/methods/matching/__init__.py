"""Methods that bring real and synthetic items together, class by class: each says what is compared, and how.

May import what methods may, and base.py, pool.py and visits.py beside it. classes.py is the contract.
"""
