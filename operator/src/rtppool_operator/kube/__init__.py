"""Everything that speaks to the API server. No other room imports kubernetes or kopf."""
