"""Whole conversations, as readable scripts."""
