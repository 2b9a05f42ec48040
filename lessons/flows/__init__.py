"""Normalizing flows

Maps that can be inverted, and the density that they make.
"""
