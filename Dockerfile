# The worker's image. Every RUN is a script of builder/ that also runs, and is tested, outside a container.
# Layers are ordered by how seldom they change: system, packages, weights, code. A change of code rebuilds only the last.
#
# "base", not "runtime": torch's wheels bring their own cuBLAS, cuDNN and NCCL, so that the runtime flavour's copies would
# only be dead weight. Sizes are in docs/deploy.md.
FROM nvidia/cuda:12.8.1-base-ubuntu24.04

ENV DEBIAN_FRONTEND=noninteractive \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1

WORKDIR /app

COPY builder/install_system_packages.sh builder/
RUN builder/install_system_packages.sh

COPY builder/requirements/worker.txt builder/requirements/
COPY builder/setup_venv.sh builder/get_uv.sh builder/find_python.sh builder/check_install.py builder/
RUN UV_NO_CACHE=1 builder/setup_venv.sh worker
ENV PATH=/app/.venv/bin:$PATH

# Weights are fetched before the code comes in, so that a new release of the code does not fetch them again.
# With BAKE_WEIGHTS=0 the image stays small and the worker looks in RunPod's model cache and on the network volume.
ARG BAKE_WEIGHTS=1
# base, turbo or multilingual: what is baked in, and what the worker loads unless MODEL says otherwise.
ARG MODEL=base
ENV MODEL=${MODEL} \
    MODEL_DIR=/models/chatterbox
COPY builder/fetch_weights.py builder/bake_weights.sh builder/
COPY synthesis/errors.py synthesis/weights.py synthesis/weights_hub.py synthesis/
RUN BAKE_WEIGHTS=${BAKE_WEIGHTS} builder/bake_weights.sh

COPY generate_voice_embedding.py handler.py test_input.json ./
COPY synthesis/ synthesis/
COPY voice_library/ voice_library/
COPY worker/ worker/
COPY server/ server/
COPY builder/create_user.sh builder/
RUN builder/create_user.sh

# By number, so that orchestrators that insist on a non-root user can tell.
USER 10001
ENV VOICE_EMBEDDINGS_DIR=/data/voice_embeddings \
    HF_HOME=/data/huggingface

# The worker's health is its fitness checks (worker/readiness.py), which RunPod's SDK runs before the first job; a
# worker that fails it exits 1. There is no port to probe.
HEALTHCHECK NONE

CMD ["python", "handler.py"]
