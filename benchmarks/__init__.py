"""Proof of accuracy: the project and its competition on the same data, in one run.

`python -m benchmarks.make_data FOLDER` makes data sets, `python -m benchmarks.run` measures.
"""
