"""Odd inputs, as public threads report them: what becomes of each. A case is a function; every file of cases ends in its literal list."""
