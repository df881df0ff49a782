"""Everything that runs a job: the supervisor, its child, the flows, the engine and the backends."""
