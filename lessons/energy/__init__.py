"""Energy-based models

Restricted Boltzmann machines, and the chains that they learn by.
"""
