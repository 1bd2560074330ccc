# Build: docker build -t jarvis .
# Run:   docker run --rm --network host --cap-drop ALL --cap-add NET_ADMIN --cap-add NET_RAW --cap-add BPF \
#            --ulimit memlock=-1 --ulimit core=-1 -v /sys/fs/bpf:/sys/fs/bpf -v /etc/jarvis:/etc/jarvis:ro \
#            -v /var/lib/jarvis:/var/lib/jarvis -v /run/jarvis:/run/jarvis jarvis
# The pins must lie on the host's bpffs, hence the volume: a private one dies with the container and takes
# the wire along. Ports are the host's interfaces, hence its network.

FROM debian:12-slim AS build
RUN apt-get update && apt-get install --yes --no-install-recommends \
        ca-certificates curl gcc libc6-dev make pkg-config clang m4 libelf-dev zlib1g-dev libmagic-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY rust-toolchain.toml ./
# rustup reads the version from rust-toolchain.toml.
RUN curl --proto '=https' --tlsv1.2 --silent --show-error --fail https://sh.rustup.rs \
        | sh -s -- -y --default-toolchain none --profile minimal \
    && . "$HOME/.cargo/env" && rustup show
COPY . .
RUN --mount=type=cache,target=/root/.cargo/registry --mount=type=cache,target=/src/target \
    . "$HOME/.cargo/env" && cargo build --locked --release --package jarvis \
    && install -D target/release/jarvis /out/jarvis

FROM debian:12-slim
RUN apt-get update && apt-get install --yes --no-install-recommends libelf1 zlib1g libmagic1 iproute2 ethtool \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/jarvis /usr/bin/jarvis
COPY scripts/host-check scripts/nic-queues /usr/local/bin/
COPY LICENSE-MIT LICENSE-APACHE /usr/share/doc/jarvis/
COPY src/config/default.toml /usr/share/doc/jarvis/jarvis.toml
VOLUME ["/var/lib/jarvis"]
# The former system's DATABASE_URL=sqlite:///./jarvis.db means this directory.
WORKDIR /var/lib/jarvis
EXPOSE 8000
# TERM takes the sockets out of the map and drains; the wire stays attached, as without a container.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/jarvis"]
CMD ["run", "--config", "/etc/jarvis/jarvis.toml"]
