"""What a study expects of its runs: claims as a text that a program reads, and the costs that
claims and budgets name. The stage plan checks them here, judging/ holds them against what came out.
"""
