# One image for every process of the queue; the command tells which one it is.
FROM python:3.11-slim-bookworm

# The picture renderer brings its own browser engine, but no fonts.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends fontconfig fonts-dejavu-core libexpat1 libnss3 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/qdash-queue
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY qdash_queue qdash_queue
COPY executors executors
COPY calibtasks calibtasks
COPY migrations migrations

ARG EXTRAS=executor,mirror
# uv is quicker than pip, but does not read pip's configuration (a company's index or certificate authority).
RUN pip install --no-cache-dir --constraint constraints.txt uv \
    && uv pip install --system --no-cache --constraint constraints.txt ".[${EXTRAS}]" \
    || pip install --no-cache-dir --constraint constraints.txt ".[${EXTRAS}]"

# Prefect's server copies its pages at its start, by default into its own package, where this user cannot write.
RUN useradd --create-home --uid 1000 queue \
    && install --directory --owner queue --group queue /var/lib/qdash-queue /var/lib/prefect-pages /app/calib_data
USER queue
WORKDIR /var/lib/qdash-queue

ENV DO_NOT_TRACK=1 \
    PREFECT_SERVER_ALLOW_EPHEMERAL_MODE=false \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    PREFECT_SERVER_UI_STATIC_DIRECTORY=/var/lib/prefect-pages \
    PYTHONUNBUFFERED=1

CMD ["qdash-queue", "--help"]
