"""Fine-tuning: what is trained, and how fast. From rules over parts to parameter groups.

What depends on this folder: config.py (rules, without torch) and training/ (parameter groups).
"""
