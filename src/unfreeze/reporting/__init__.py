"""What people read: tables, pictures and the report.

What depends on this folder: the stages summarize (tables.py) and plot (all of it). Nothing here
changes what is trained.
"""
