"""Latent variables

Variational autoencoders, and two ways to a gradient of an expectation.
"""
