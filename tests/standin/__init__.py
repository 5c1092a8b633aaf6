"""Packages that stand in for real ones in processes that a test starts, through PYTHONPATH."""
