# Two images: `app`, the server with the demo in it (the default), and `runner`, which
# tries a running one.
#
# rust-toolchain.toml is left out: the compiler is the image's own, and rustup has no
# clippy to fetch.

# The workspace without its code: every manifest, and an empty crate for each. It
# changes only with a dependency, so the layers built on it outlive changes of code.
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
RUN cargo fetch --locked

# Each builder compiles its dependencies first, then its code. What is copied keeps its
# time, which may be before the empty crate was built: it is touched, or cargo would
# take it for built.
#
# The server is built as `cargo xtask dist` does: with counts of where its code goes, and
# for a target that is named.
FROM workspace AS host
COPY host/dist.profdata /
ENV RUSTFLAGS="-Cprofile-use=/dist.profdata -Cllvm-args=-no-pgo-warn-mismatch"
RUN cargo build --locked --profile dist --package fanlight --target "$(rustc --print host-tuple)"
COPY wit wit
COPY host host
RUN find host wit -type f -exec touch {} + \
    && cargo build --locked --profile dist --package fanlight --target "$(rustc --print host-tuple)"

FROM workspace AS guest
RUN cargo build --locked --profile dist --target wasm32-wasip2 --package fanlight-demo
COPY wit wit
COPY guest guest
RUN find guest wit -type f -exec touch {} + \
    && cargo build --locked --profile dist --target wasm32-wasip2 --package fanlight-demo

FROM workspace AS tests
RUN cargo build --locked --release --package fanlight-runner
COPY tests/runner tests/runner
RUN find tests -type f -exec touch {} + \
    && cargo build --locked --release --package fanlight-runner

FROM debian:bookworm-slim AS runner
COPY --from=tests /fanlight/target/release/fanlight-runner /usr/local/bin/
USER 10001:10001
ENTRYPOINT ["fanlight-runner"]

FROM debian:bookworm-slim AS app
# For collectors that are reached over TLS.
COPY --from=host /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
# Compiled components are kept here: a volume makes the next start quick.
RUN install --directory --owner=10001 --group=10001 /var/cache/fanlight
COPY --from=host /fanlight/target/*/dist/fanlight /usr/local/bin/
COPY --from=guest /fanlight/target/wasm32-wasip2/dist/fanlight_demo.wasm /usr/share/fanlight/demo.wasm
# The admin port stays on the container's own loopback, where the health check asks.
ENV FANLIGHT_LISTEN=0.0.0.0:8000 FANLIGHT_CACHE_DIR=/var/cache/fanlight
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s CMD ["fanlight", "health"]
ENTRYPOINT ["fanlight"]
CMD ["serve", "/usr/share/fanlight/demo.wasm"]
