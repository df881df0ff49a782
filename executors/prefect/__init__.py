"""Everything that speaks to Prefect."""
