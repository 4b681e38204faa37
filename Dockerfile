# Server of one released run: her2 serve (docs/howto/serve.md). Research use only.
#   docker build --tag her2core .                                          processor, OpenVINO
#   docker build --tag her2core:cuda --build-arg WHEELS=cuda .             NVIDIA GPU, torch in float32
# The image holds program, weights and the converted network: at run time it fetches nothing.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim-bookworm AS build
# cpu: with OpenVINO; TORCH_INDEX may name an index with torch's wheels without CUDA. Versions are ranges of pyproject.toml.
ARG WHEELS=cpu
ARG TORCH_INDEX=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /src
COPY pyproject.toml setup.py MANIFEST.in README.md LICENSE NOTICE app.py ./
COPY .streamlit .streamlit
COPY docs/method.md docs/method.md
COPY pages pages
COPY dashboard dashboard
COPY her2core her2core
# hadolint ignore=DL3013
RUN if [ "$WHEELS" = cpu ]; then \
        pip install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} ".[serve,openvino]"; \
    else \
        pip install ".[serve]"; \
    fi

FROM python:${PYTHON}-slim-bookworm
ARG MODEL=models/demo
LABEL org.opencontainers.image.title="her2core" \
      org.opencontainers.image.description="HER2 status from H&E patches. Research use only." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/venv /opt/venv
COPY ${MODEL} /opt/her2/model
RUN useradd --system --uid 10001 --no-create-home her2 && mkdir /var/cache/her2 && chown her2 /var/cache/her2
ENV PATH=/opt/venv/bin:$PATH \
    HER2_CACHE=/var/cache/her2 \
    HF_HUB_OFFLINE=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 10001
# Converts the network for OpenVINO now, where it is installed, and shows that the image can predict.
RUN her2 runs show /opt/her2/model && \
    python -c "from her2core import load_predictor; print(load_predictor('/opt/her2/model').engine)"
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/health', timeout=4)"]
# HER2_SERVE_TOKEN must be set: the address is one that other machines reach.
ENTRYPOINT ["her2", "serve", "/opt/her2/model", "--address", "0.0.0.0", "--port", "8080"]
