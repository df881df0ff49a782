"""QDash's documents, made from the queue's rows."""
