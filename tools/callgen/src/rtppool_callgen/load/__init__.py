"""The load test: its run, its report, its verdict."""
