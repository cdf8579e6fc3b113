"""Programs around the product: a cluster, faults, benchmarks and releases.

They are not tests, but have tests of their own in `lab/tests`. They may import the product, which never imports them.
Run them from the top of the repository: `python -m lab.cluster`, `python -m lab.faults.calls`,
`python -m lab.faults.operator`, `python -m lab.bench`, `python -m lab.release`.
"""
