//! The command line: it reads arguments, wires the rooms together and prints. Exit codes: 0 good,
//! 1 findings of severity error, 2 misuse.

pub mod options;

mod agent;
mod cleanup;
mod codes;
mod completions;
mod connect;
mod controller;
mod crds;
mod explain;
mod install;
mod judged;
mod lint;
mod proxy;
mod render;
mod report;
mod run;
mod runtime;
mod signals;
mod status;
mod wait;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

const GOOD: u8 = 0;
const FINDINGS: u8 = 1;
const MISUSE: u8 = 2;

#[derive(Debug, Parser)]
#[command(name = "vigie", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve manifests with a proxy on this machine
    Run(run::RunArgs),
    /// Watch a cluster, publish configuration and write status
    Controller(controller::ControllerArgs),
    /// Load what is published into a proxy beside us, and report
    Agent(agent::AgentArgs),
    /// Load what an agent beside us hands over into a proxy, without any right in the cluster
    Proxy(proxy::ProxyCommand),
    /// Take back what an installation that is gone left in other namespaces
    Cleanup(cleanup::CleanupArgs),
    /// Put this program where another container can run it
    Install(install::InstallArgs),
    /// Wait until every proxy runs an Ingress as it is now, and it works
    Wait(wait::WaitArgs),
    /// Show what is published, which proxies run it, and what is not healthy
    Status(status::StatusArgs),
    /// Tell what is wrong with manifests, and where
    Lint(lint::LintArgs),
    /// Say which rule takes a URL, why, and what becomes of the request; or what a finding means
    Explain(explain::ExplainArgs),
    /// Write the configuration that would run
    Render(render::RenderArgs),
    /// Print the definition of the RouteHealth resource
    Crds,
    /// Print what makes a shell complete commands and flags
    Completions(completions::CompletionsArgs),
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let code = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Controller(args) => controller::run(&args),
        Command::Agent(args) => agent::run(&args),
        Command::Proxy(args) => proxy::run(&args),
        Command::Cleanup(args) => cleanup::run(&args),
        Command::Install(args) => install::install(&args),
        Command::Wait(args) => wait::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Lint(args) => lint::lint(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Render(args) => render::render(&args),
        Command::Crds => crds::crds(),
        Command::Completions(args) => completions::completions(&args, Cli::command()),
    };
    match code {
        Ok(code) => ExitCode::from(code),
        Err(error) if is_broken_pipe(&error) => ExitCode::from(GOOD),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(MISUSE)
        }
    }
}

/// Whoever read the output has seen enough, as `head` has.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests;
