# For CUDA: docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 .
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG TORCH=torch==2.13.0
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1
WORKDIR /opt/seedpoint

# The steps of `make install`.
RUN python3 -m venv --without-pip .venv \
    && python3 -m pip --python .venv/bin/python install --no-deps \
        --extra-index-url "${TORCH_INDEX}" "${TORCH}"
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY models models
COPY service service
COPY examples examples
RUN python3 -m pip --python .venv/bin/python install '.[service,transformers]'

# -I: of the installed package, whose path is part of the cache's key.
RUN NUMBA_CACHE_DIR=/opt/seedpoint/kernels .venv/bin/python -I -c \
        "from seedpoint.models.stream import cpu, orthogonal; cpu.warm_up(); \
        orthogonal.warm_up(); \
        from seedpoint.service.statistics import checkpoint; checkpoint.warm_up()" \
    && find models -name '*.py' -exec sha256sum {} + > kernels/sources

FROM ${BASE}
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin seedpoint \
    && install --directory --owner seedpoint /data
COPY docker-entrypoint.sh /opt/seedpoint/
COPY --from=build /opt/seedpoint/kernels /opt/seedpoint/kernels
COPY --from=build /opt/seedpoint/.venv /opt/seedpoint/.venv
ENV PATH=/opt/seedpoint/.venv/bin:$PATH \
    SEEDPOINT_HOST=0.0.0.0 \
    SEEDPOINT_PORT=8000 \
    SEEDPOINT_STORE=/data/store \
    SEEDPOINT_LOG_FORMAT=json
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python", "-I", "-c", \
    "import os, urllib.request; \
    url = 'http://127.0.0.1:' + os.environ['SEEDPOINT_PORT'] + '/healthz'; \
    urllib.request.urlopen(url, timeout=4)"]
ENTRYPOINT ["/opt/seedpoint/docker-entrypoint.sh"]
CMD ["serve"]
