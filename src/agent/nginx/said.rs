//! What an nginx master says about a reload, or a start, that has failed. Pure text work.

use crate::agent::process::is_fatal;

/// The cause of a failure, once it is one. Workers say other fatal things: of limits, of connections
/// that were open when they ended, of their own death by a signal, after which the master starts
/// another one.
pub fn failure(said: &[String], master: i32) -> Option<String> {
    let pid = format!(" {master}#");
    let of_master = |line: &&String| line.contains(&pid) || line.starts_with("nginx: [");
    let mut in_use = None;
    for line in said.iter().filter(of_master).filter(|l| is_fatal(l)) {
        // An address in use is tried again for 2.5 s; only the last line of that says that it failed,
        // and only those before it say where.
        if line.contains("bind() to ") {
            in_use = Some(line);
        } else if line.contains("still could not bind()") {
            return Some(in_use.unwrap_or(line).clone());
        } else if !line.contains(" exited on signal ") {
            return Some(line.clone());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure_of(lines: &[&str]) -> Option<String> {
        let said: Vec<String> = lines.iter().map(|l| (*l).to_owned()).collect();
        failure(&said, 7)
    }

    #[test]
    fn only_what_ends_a_reload_is_its_failure() {
        let bind = "[emerg] 7#7: bind() to 127.0.0.1:80 failed (98: Address already in use)";
        let gives_up = "[emerg] 7#7: still could not bind()";
        for (lines, expected) in [
            (vec!["[notice] 7#7: reconfiguring"], None),
            (
                vec!["[alert] 7#7: worker process 8 exited on signal 9"],
                None,
            ),
            (
                vec!["[alert] 8#8: *1 open socket #3 left in connection 4"],
                None,
            ),
            (
                vec!["[alert] 8#8: setrlimit(RLIMIT_NOFILE, 9) failed"],
                None,
            ),
            (vec![bind, bind], None),
            (vec![bind, bind, gives_up], Some(bind)),
            (vec!["[crit] 7#7: no memory"], Some("[crit] 7#7: no memory")),
            (vec!["nginx: [emerg] bad"], Some("nginx: [emerg] bad")),
        ] {
            assert_eq!(failure_of(&lines).as_deref(), expected, "{lines:?}");
        }
    }
}
