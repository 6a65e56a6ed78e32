"""What ships for the tests of others: the contracts that strategies and executors keep, as suites for one's own.

Nothing here needs pytest; a suite is a class whose methods pytest collects from a class derived from it.
"""
