# Hearth and, for those who configure no database, the PostgreSQL that it runs by itself.
#
#   docker build -t hearth .
#   docker run -d --init -v hearth:/data -p 8008:8008 -e HEARTH_SERVER_NAME=example.org hearth

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked
RUN cp target/release/hearth /usr/local/bin/hearth && strip /usr/local/bin/hearth

FROM debian:bookworm-slim
# Without the cluster that the package would make for itself.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates postgresql-common \
    && sed -i 's/^#create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf \
    && apt-get install -y --no-install-recommends postgresql \
    && rm -rf /var/lib/apt/lists/*
# PostgreSQL does not run as root, nor as a user without a name.
RUN useradd --system --user-group --uid 808 --home-dir /data --no-create-home hearth \
    && install -d -o hearth -g hearth -m 0700 /data
COPY --from=build /usr/local/bin/hearth /usr/local/bin/hearth
ENV HEARTH_DATA_DIR=/data HEARTH_LISTEN=0.0.0.0:8008
USER hearth
WORKDIR /data
VOLUME /data
EXPOSE 8008
HEALTHCHECK --interval=10s --timeout=10s --start-period=2m CMD ["hearth", "health"]
ENTRYPOINT ["hearth"]
