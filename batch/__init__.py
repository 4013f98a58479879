"""Many texts spoken from a file of jobs: `python -m batch run JOBS --out DIR`.

What is done is in a journal in DIR, so that a run can be killed at any time and started again.
"""
