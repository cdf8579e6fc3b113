"""The load test: reads of the relay, verdict, report and chart."""
