"""Wrong models, on purpose: which claim, or which test, refuses each? ``python -m tests.mutation`` tells."""
