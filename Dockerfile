# Vigie's image: one static binary and nothing else. `make image` builds the same without a daemon.
#
#   docker build --tag registry.example.com/vigie:0.1.0 .
FROM docker.io/library/rust:1.95.0-alpine AS build
# ring brings C and assembler.
RUN apk add --no-cache musl-dev
WORKDIR /src
COPY . .
RUN cargo build --locked --release --bin vigie

FROM scratch
COPY --from=build /src/target/release/vigie /vigie
COPY --from=build /src/LICENSE /usr/share/doc/vigie/LICENSE
USER 65532:65532
ENTRYPOINT ["/vigie"]
