"""Learning with rules

Knowledge as a constraint, a rule as a teacher.
"""
