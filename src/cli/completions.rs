//! `vigie completions`: what makes a shell complete the commands and flags of this program.

use std::io::Write;

use clap::{Args, Command};
use clap_complete::{Shell, generate};

use super::GOOD;

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell to write for
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub fn completions(args: &CompletionsArgs, mut command: Command) -> anyhow::Result<u8> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    generate(args.shell, &mut command, name, &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(GOOD)
}
