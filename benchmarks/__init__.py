"""What the queue, its executors and its mirror cost on real servers; ``python -m benchmarks`` runs all."""
