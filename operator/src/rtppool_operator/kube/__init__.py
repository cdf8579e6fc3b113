"""The room that talks to the API server: reads, writes, the lease, the CRD and kopf's watch."""
