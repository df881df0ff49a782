"""What the supervisor and the job's process share."""
