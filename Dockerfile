# Two images: `app`, the server with the demo in it (the default), and `runner`, which
# tries a running one.
#
# Neither Go nor counts for the optimiser are needed, on x86-64 or arm64.
# rust-toolchain.toml is left out: the compiler is the image's own, and rustup has no
# clippy to fetch.

# The workspace without its code: every manifest, and an empty crate for each. It
# changes only with a manifest, so a change of code leads to one builder alone.
FROM rust:1.95-bookworm AS manifests
WORKDIR /fanlight
COPY . .
RUN find . -type f \
        ! -name Cargo.toml ! -name Cargo.lock ! -path ./.cargo/config.toml \
        ! -path '*/src/lib.rs' ! -path '*/src/main.rs' -delete \
    && for file in $(find . -name '*.rs'); do echo '//! Empty.' >"$file"; done \
    && for file in $(find . -name main.rs); do echo 'fn main() {}' >>"$file"; done \
    && find . -type d -empty -delete

FROM rust:1.95-bookworm AS workspace
RUN rustup target add wasm32-wasip2
WORKDIR /fanlight
COPY --from=manifests /fanlight .

# Each builder has its code and the others' manifests, so it runs again for a change of
# its own code alone. What cargo downloads and builds is in caches of the builder: such a
# change compiles the crates of this workspace, and nothing else. What is copied keeps its
# time, which may be before the last build: it is touched, or cargo would take it for
# built. A cache is no part of an image, so what was built is copied out of it.
#
# The server is built as `cargo xtask dist --without-profile` does.
FROM workspace AS host
COPY LICENSE-APACHE LICENSE-MIT ./
COPY wit wit
COPY guest/sdk guest/sdk
COPY host host
RUN --mount=type=cache,target=/usr/local/cargo/registry,id=fanlight-host-registry \
    --mount=type=cache,target=/fanlight/target,id=fanlight-host \
    find guest host wit -type f -exec touch {} + \
    && cargo build --locked --profile dist --package fanlight \
    && cp target/dist/fanlight /usr/local/bin/

FROM workspace AS guest
COPY wit wit
COPY guest guest
RUN --mount=type=cache,target=/usr/local/cargo/registry,id=fanlight-guest-registry \
    --mount=type=cache,target=/fanlight/target,id=fanlight-guest \
    find guest wit -type f -exec touch {} + \
    && cargo build --locked --profile dist --target wasm32-wasip2 --package fanlight-demo \
    && cp target/wasm32-wasip2/dist/fanlight_demo.wasm /demo.wasm

FROM workspace AS tests
COPY tests/runner tests/runner
RUN --mount=type=cache,target=/usr/local/cargo/registry,id=fanlight-runner-registry \
    --mount=type=cache,target=/fanlight/target,id=fanlight-runner \
    find tests -type f -exec touch {} + \
    && cargo build --locked --release --package fanlight-runner \
    && cp target/release/fanlight-runner /usr/local/bin/

FROM debian:bookworm-slim AS runner
COPY --from=tests /usr/local/bin/fanlight-runner /usr/local/bin/
USER 10001:10001
ENTRYPOINT ["fanlight-runner"]

FROM debian:bookworm-slim AS app
# For collectors that are reached over TLS.
COPY --from=host /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
# Compiled components are kept here: a volume makes the next start quick.
RUN install --directory --owner=10001 --group=10001 /var/cache/fanlight
COPY --from=host /usr/local/bin/fanlight /usr/local/bin/
COPY --from=guest /demo.wasm /usr/share/fanlight/demo.wasm
# The admin port stays on the container's own loopback, where the health check asks;
# with FANLIGHT_ADMIN=off it asks whether the serving port accepts connections.
ENV FANLIGHT_LISTEN=0.0.0.0:8000 FANLIGHT_CACHE_DIR=/var/cache/fanlight
USER 10001:10001
EXPOSE 8000
# Without --start-interval, which engines before 25 refuse: they would build nothing.
HEALTHCHECK --interval=2s --timeout=3s --start-period=10s \
    CMD ["fanlight", "health"]
LABEL org.opencontainers.image.title="Fanlight" \
    org.opencontainers.image.description="Serves WebAssembly components over HTTP and lets you see inside them" \
    org.opencontainers.image.licenses="MIT OR Apache-2.0"
ENTRYPOINT ["fanlight"]
CMD ["serve", "/usr/share/fanlight/demo.wasm"]
