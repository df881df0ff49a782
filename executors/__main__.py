"""``python -m executors``; imports nothing at the top, because multiprocessing may run it in every child."""

if __name__ == "__main__":
    from executors.main import app

    app()
