//! The echo backend as a program, to try routes by hand: `cargo run --example backend -- --help`.

// The tests use parts of the backend that a program has no need of.
#[allow(dead_code, unused_imports)]
#[path = "echo.rs"]
mod echo;

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use echo::{Echo, Identity, Listen};

/// Answers every request with a report of what it saw.
#[derive(Parser)]
#[command(
    name = "backend",
    after_help = "A request may ask for more than a report, such as /?status=503&sleep=2s: \
                  see tests/cases/README.md"
)]
struct Arguments {
    /// Where to listen, and how: http (default), https, grpc, grpcs or close
    #[arg(long, value_name = "ADDRESS:PORT[=MODE]", required = true)]
    listen: Vec<Listen>,

    /// The name in the reports
    #[arg(long, default_value = "echo")]
    name: String,

    /// PEM file with the certificate to show instead of a self-signed one
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,

    /// PEM file with the key of the certificate
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,

    /// PEM file with the authorities whose client certificates are demanded
    #[arg(long, value_name = "FILE", requires = "certificate")]
    client_authorities: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let read = |path: &PathBuf| {
        fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
    };
    let identity = match (&arguments.certificate, &arguments.key) {
        (Some(certificate), Some(key)) => {
            let authorities = arguments.client_authorities.as_ref().map(read);
            let authorities = authorities.transpose()?.unwrap_or_default();
            Identity::from_pem(&read(certificate)?, &read(key)?, &authorities)
        }
        _ => Identity::self_signed(),
    }
    .context("preparing the certificate")?;
    let backend = Echo::start(&arguments.name, &arguments.listen, &identity)?;
    for listen in backend.listens() {
        println!("{} listens on {listen}", arguments.name);
    }
    tokio::signal::ctrl_c()
        .await
        .context("waiting for Ctrl-C")?;
    Ok(())
}
