"""Stands in for LMDeploy where there is no GPU: its command line, its HTTP, and no model."""
