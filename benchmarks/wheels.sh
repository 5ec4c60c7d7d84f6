#!/usr/bin/env bash
# Offline wheels: what a machine without a network lacks for the GPU benchmark and the CUDA tests, beside its own torch,
# transformers, peft and accelerate. `benchmarks/wheels.sh FOLDER [PYTHON_VERSION]`, then there:
#   python -m pip install --no-index --no-deps FOLDER/*.whl && PYTHONPATH=.:backends make bench-gpu PYTHON=python
set -euo pipefail
folder=${1:?give the folder that takes the wheels}
version=${2:-3.12}
python3 -m pip download --quiet --no-deps --only-binary=:all: --dest "$folder" \
    --python-version "$version" --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 \
    --platform manylinux_2_24_x86_64 --platform any \
    trl bitsandbytes datasets dill multiprocess xxhash pyarrow jsonschema-rs orjson rensa pydantic pydantic-core tenacity httpx \
    typer rich jinja2 pytest pytest-timeout hypothesis
du -sh "$folder"
