# deca-data without PyTorch: manifests, reports, and the lists and landmarks that the official trainers read.
#
#   docker build --tag deca-data .
#   docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/work" deca-data deca-data run ./vggface2
#
# To train as well: docker build --build-arg EXTRAS=data,dlib,train --tag deca-data . (4 GB more, CUDA with it),
# and run it with --gpus all --shm-size=2g: the loader's processes hand over batches in shared memory, of which a
# container has 64 MB by default.
FROM python:3.11-slim-bookworm

# What OpenCV needs of the system.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*

COPY pyproject.toml README.md LICENSE cli.py /opt/deca-data/
COPY commands /opt/deca-data/commands
COPY deca_data /opt/deca-data/deca_data
COPY deca_model /opt/deca-data/deca_model
COPY manifests /opt/deca-data/manifests
COPY pipelines /opt/deca-data/pipelines

ARG EXTRAS=data,dlib
RUN pip install --no-cache-dir "/opt/deca-data[${EXTRAS}]"

# Any user may run it; HOME is for caches of libraries.
RUN useradd --create-home --uid 1000 deca && chmod 777 /home/deca
ENV HOME=/home/deca MPLCONFIGDIR=/tmp NUMBA_CACHE_DIR=/tmp
USER 1000
WORKDIR /work
CMD ["deca-data", "--help"]
