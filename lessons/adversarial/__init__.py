"""Adversarial training

A generator against a discriminator or a critic, in the plane, where all can be counted.
"""
