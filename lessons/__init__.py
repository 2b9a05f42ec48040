"""Lessons: one script for each figure of the lectures. ``python -m lessons`` lists and runs them."""
