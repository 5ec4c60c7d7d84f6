"""The figures in docs/performance.md, each made by one module; `python -m benchmarks` runs them all.

A module here has a TITLE, a GOAL, and `measure(...)`, a plain function that returns rows. Ratios are taken within one
process, alternating, as medians of pairs; what needs a process of its own gets one through `child.call`.
"""
