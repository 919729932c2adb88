# Few targets; CI calls the same. Everything that is slow to make lies in caches outside the checkout.
.PHONY: run cluster-demo test check chart-check e2e image bless proxies control-plane crds bench fuzz soak

# Serves examples/hello with both proxies on free ports, with demo backends that answer.
run: proxies
	cargo build --quiet --bin vigie --example backend
	scripts/demo.sh

# Starts a real API server, a controller and an agent for each proxy, and shows what a user then sees.
cluster-demo: proxies control-plane
	cargo build --quiet --bin vigie --example backend
	scripts/cluster-demo.sh

# Everything that must hold: what CI calls. Tests come with the program and the examples built.
test: proxies control-plane check
	cargo test --quiet
	scripts/demo.sh --check
	scripts/cluster-demo.sh --check
	scripts/chart-check.sh
	scripts/e2e.sh

# Format, lints and licences: quick, before every commit.
check:
	cargo fmt --check
	cargo clippy --quiet --all-targets -- -D warnings
	scripts/deny.sh

# Holds the chart against a real API server: every kind of installation, and what its policies do.
chart-check: control-plane
	scripts/chart-check.sh

# Installs the chart on a node with a real kubelet, and does to it what operations do. It takes root, Go and a
# musl target of Rust; E2E=0 leaves it out, STEPS names some of its steps.
e2e: proxies control-plane
	scripts/e2e.sh $(STEPS)

# Vigie's own image, as an archive in target/image; takes a static binary, and so a musl target of Rust.
image:
	cargo build --quiet --locked --release --target $(shell uname -m)-unknown-linux-musl --bin vigie
	scripts/image.sh

# Writes the expected files of cases, and generated files, anew.
bless: proxies control-plane
	BLESS=1 cargo test --quiet

# Puts nginx and HAProxy into a cache outside the checkout.
proxies:
	scripts/proxies.sh

# Builds etcd, an API server and the rest of a test cluster into a cache outside the checkout.
control-plane:
	scripts/control-plane.sh

# The chart has a copy of the definition, and of the roles in deploy/.
crds:
	cargo run --quiet -- crds > crds/routehealths.yaml
	cp crds/routehealths.yaml deploy/*.yaml charts/vigie/files/

# Figures, as ratios against a baseline of the same run.
bench: proxies
	cargo bench --quiet

# Long rounds, for changes that touch readers, renderers and loaders.
soak: fuzz
	ROUNDS=50 cargo test --quiet --test it operator::killed
	QUIET=300 cargo test --quiet --test it operator::told::a_steady
	cargo test --quiet --test it operator::watched -- --ignored
	ROUNDS=600 cargo test --quiet --test it laws
	ROUNDS=50 cargo test --quiet --test it change::killed
	ROUNDS=400 cargo test --quiet --test it change::walk
	ROUNDS=2000 cargo test --quiet --test it change::hostile

fuzz:
	scripts/fuzz.sh
