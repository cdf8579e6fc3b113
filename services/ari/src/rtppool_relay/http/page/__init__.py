"""The HTML page of `/sla`."""
