"""Real judges of the chart's monitoring objects: Prometheus, the CRDs of Prometheus Operator, and Grafana's own types.

Neither Prometheus Operator nor Grafana can run without an image registry. So `scrape_configs` turns rendered
PodMonitors into the configuration that the operator would write, and TypeScript compiles the dashboard against
Grafana's schema.
"""
