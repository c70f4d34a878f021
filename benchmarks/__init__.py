"""Measurements of vaebench itself; each module is run by hand, none by the workflow."""
