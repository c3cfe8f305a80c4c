# syntax=docker/dockerfile:1
# The binary alone, linked statically, on an image with root certificates and nothing else: no libc, no
# shell, no package manager, and not root.
FROM rust:1.95-alpine AS build
# A C compiler and headers for what is written in C (ring, zstd, SQLite).
RUN apk add --no-cache build-base
WORKDIR /src
COPY . .
RUN cargo build --locked --release --package issei

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /src/target/release/issei /usr/local/bin/issei
# The audiences are in the configuration file: build on this image with
#   COPY issei.toml /etc/issei/issei.toml
ENV ISSEI_CONFIG=/etc/issei/issei.toml
USER 65532:65532
# SIGTERM finishes what is in flight; give it a minute.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/issei"]
CMD ["--help"]
