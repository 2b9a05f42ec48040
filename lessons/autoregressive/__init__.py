"""Autoregressive models

A joint density as a product of conditionals: exact likelihoods, one variable after the other.
"""
