//! Steps that are more than one command: what is sent next depends on what HAProxy has said.

use std::collections::HashSet;

use super::live::{Certificate, Step, payloads};
use super::runtime::{Command as Ask, Done, LARGEST_PAYLOAD, Runtime, RuntimeError};
use crate::render::bundle::FileName;
use crate::render::haproxy::CERTIFICATE_LIST;

/// There is one transaction for all certificates; one that failed is ended, or the next would be part
/// of it.
pub async fn set_certificate(
    runtime: &mut Runtime,
    certificate: &Certificate,
) -> Result<(), RuntimeError> {
    let file = [certificate.file.as_str()];
    let mut pem = certificate.pem.reveal().to_owned();
    if !pem.ends_with('\n') {
        pem.push('\n');
    }
    let create = certificate
        .is_new
        .then(|| Ask::new("new ssl cert", &file, Done::Says("New empty")));
    let set = Ask::new("set ssl cert", &file, Done::Says("Transaction")).with_payload(pem);
    let commit = Ask::new("commit ssl cert", &file, Done::Says("Success!"));
    let commands: Vec<Ask> = create.into_iter().chain([set, commit]).collect();
    let done = runtime.run(&commands).await;
    if done.is_err() {
        let abort = Ask::new("abort ssl cert", &file, Done::Any);
        runtime.exchange(&[abort]).await?;
    }
    done
}

pub async fn run(runtime: &mut Runtime, group: &[Step]) -> Result<(), RuntimeError> {
    let mut together = Vec::new();
    for step in group {
        match step {
            Step::Do(command) => together.push(command.clone()),
            Step::Replace { file, lines } => {
                runtime.run(&std::mem::take(&mut together)).await?;
                replace(runtime, file, lines).await?;
            }
        }
    }
    runtime.run(&together).await
}

/// A version that is never taken is freed with the next one.
async fn replace(runtime: &mut Runtime, file: &str, lines: &str) -> Result<(), RuntimeError> {
    const CREATED: &str = "New version created: ";
    let prepare = Ask::new("prepare map", &[file], Done::Says(CREATED));
    let reply = runtime.ask(&prepare).await?;
    let version = reply
        .split_once(CREATED)
        .map_or("", |(_, rest)| rest.trim());
    let version = format!("@{version}");
    let add = |payload| {
        let add = Ask::new("add map", &[], Done::Silent);
        add.followed_by(&format!(" {version} {file}"))
            .with_lines(payload)
    };
    let mut commands: Vec<Ask> = payloads(lines.lines(), LARGEST_PAYLOAD).map(add).collect();
    let commit = Ask::new("commit map", &[], Done::Silent);
    commands.push(commit.followed_by(&format!(" {version} {file}")));
    runtime.run(&commands).await
}

/// A certificate may stand in several lines of the list; each is taken out by its number.
pub async fn unlist(
    runtime: &mut Runtime,
    unlisted: &[(FileName, String)],
) -> Result<(), RuntimeError> {
    if unlisted.is_empty() {
        return Ok(());
    }
    let show = Ask::new("show ssl crt-list -n", &[CERTIFICATE_LIST], Done::Any);
    let shown = runtime.ask(&show).await?;
    let unlisted: HashSet<(&str, &str)> = unlisted
        .iter()
        .map(|(file, name)| (file.as_str(), name.as_str()))
        .collect();
    let mut commands = Vec::new();
    for line in shown.lines() {
        let Some((entry, name)) = line.trim_end().split_once(' ') else {
            continue;
        };
        let file = entry.rsplit_once(':').map_or(entry, |(file, _)| file);
        if unlisted.contains(&(file, name)) {
            let words = [CERTIFICATE_LIST, entry];
            commands.push(Ask::new("del ssl crt-list", &words, Done::Says("deleted")));
        }
    }
    runtime.run(&commands).await
}
