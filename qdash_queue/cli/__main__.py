"""``python -m qdash_queue.cli``, the same as the command ``qdash-queue``."""

from qdash_queue.cli.main import app

app(prog_name="qdash-queue")
