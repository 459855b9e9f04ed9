# syntax=docker/dockerfile:1.7
# The `understudy` binary as Fargate runs it, for linux/arm64 and linux/amd64. Two images from one build:
#
#   replicator  the binary and nothing else: no shell, no package manager
#   operator    the same with a shell, for the task that people enter and for what a task does before and beside a worker
#
#   docker buildx build --platform linux/arm64 --target replicator .
#
# Each platform compiles natively: librdkafka's configure and OpenSSL do not cross-compile. A foreign platform is emulated
# by the builder, which takes an hour; build where the processors are of the kind that runs it.

# What the images are made from: Rust's of Debian 12, and Distroless of Debian 12 without and with a shell. A tag moves; pin
# each by its digest in your own copy (docs/releasing.md).
ARG TOOLCHAIN=rust:1.95.0-slim-bookworm
ARG BASE=gcr.io/distroless/cc-debian12:nonroot
ARG BASE_WITH_SHELL=gcr.io/distroless/cc-debian12:debug-nonroot

FROM ${TOOLCHAIN} AS toolchain
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends g++ make perl pkg-config python3 \
 && rm -rf /var/lib/apt/lists/* \
 && cargo install --locked --version 0.1.77 cargo-chef
WORKDIR /understudy

# What has to be compiled besides our own sources; changes only with Cargo.lock and the manifests.
FROM toolchain AS recipe
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM toolchain AS build
COPY rust-toolchain.toml ./
COPY --from=recipe /understudy/recipe.json recipe.json
# A layer of its own: librdkafka, OpenSSL and the AWS SDK stay compiled while only our sources change.
RUN cargo chef cook --release --locked --package understudy --recipe-path recipe.json
COPY . .
# The version that the binary tells of itself; that of Cargo.toml unless given.
ARG UNDERSTUDY_VERSION=
RUN cargo build --release --locked --package understudy \
 && install -D --mode=0755 target/release/understudy /out/understudy \
 && install --directory --owner=65532 --group=65532 /out/run

FROM ${BASE_WITH_SHELL} AS operator
COPY --from=build /out/understudy /usr/local/bin/understudy
# Fargate gives a volume the owner that its folder has in the image.
COPY --from=build --chown=65532:65532 /out/run /run/understudy
VOLUME /run/understudy
USER 65532:65532
WORKDIR /run/understudy
ENTRYPOINT ["/usr/local/bin/understudy"]
CMD ["--help"]

FROM ${BASE} AS replicator
COPY --from=build /out/understudy /usr/local/bin/understudy
COPY --from=build --chown=65532:65532 /out/run /run/understudy
VOLUME /run/understudy
USER 65532:65532
WORKDIR /run/understudy
ENTRYPOINT ["/usr/local/bin/understudy"]
CMD ["--help"]
