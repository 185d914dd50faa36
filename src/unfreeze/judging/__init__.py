"""What came out of a study: effects and their intervals, verdicts on claims, the run to take under
the budget. outcome.judge does it; quality and tables say how it is written down.
"""
