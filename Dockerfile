FROM python:3.11-slim AS build
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# A C compiler for the kernels; it stays behind with this stage.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY requirements/ requirements/
RUN python -m venv /opt/myriad && /opt/myriad/bin/pip install --require-hashes -r requirements/serve.lock
# What builds the wheel comes from the lock file too, into an environment that stays behind.
RUN sed -n -E '/^(cython|setuptools)==/,/[^\\]$/p' requirements/dev.lock > build.lock \
    && python -m venv /opt/tools && /opt/tools/bin/pip install --require-hashes -r build.lock
COPY pyproject.toml README.md LICENSE ./
COPY myriad/ myriad/
COPY kernels/ kernels/
COPY models/ models/
COPY formats/ formats/
COPY adapters/ adapters/
COPY storage/ storage/
COPY training/ training/
COPY serving/ serving/
COPY cli/ cli/
RUN /opt/tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/myriad/bin/pip install --no-deps dist/*.whl

FROM python:3.11-slim
ENV PATH=/opt/myriad/bin:$PATH PYTHONUNBUFFERED=1 MYRIAD_LOCAL_DIRECTORY=/var/cache/myriad
RUN useradd --system --uid 10001 --no-create-home myriad \
    && mkdir -p /var/cache/myriad /var/lib/myriad && chown myriad /var/cache/myriad /var/lib/myriad
COPY --from=build /opt/myriad /opt/myriad
USER myriad
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import http.client, os, sys; asked = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('MYRIAD_PORT', '8000')), timeout=4); asked.request('GET', '/health/ready'); sys.exit(asked.getresponse().status != 200)"]
ENTRYPOINT ["myriad"]
CMD ["serve", "--host", "0.0.0.0"]
