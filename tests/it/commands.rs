//! Commands that need neither manifests nor a cluster.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::lint::Here;

#[test]
fn completions_of_each_shell_know_commands_and_flags() {
    let here = Here::new();
    for shell in ["bash", "zsh", "fish"] {
        let output = here.vigie(&["completions", shell], "");
        assert!(output.status.success(), "{shell}");
        let script = String::from_utf8(output.stdout).expect("UTF-8");
        for word in ["lint", "explain", "write-baseline", "completions"] {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
        let path = here.write("script", &script);
        // Only bash is on every machine.
        if shell == "bash" {
            let script = format!(
                ". {}; COMP_WORDS=(vigie lin); COMP_CWORD=1; _vigie vigie lin vigie; echo \"${{COMPREPLY[@]}}\"",
                path.display()
            );
            let output = Command::new("bash")
                .args(["-c", &script])
                .output()
                .expect("bash runs");
            let words = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(
                words,
                "lint\n",
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
    let misuse = here.vigie(&["completions", "csh"], "");
    assert_eq!(misuse.status.code(), Some(2));
}

#[test]
fn installing_puts_the_program_in_the_place_of_one_that_was_there() {
    let here = Here::new();
    let file = here.write("tools/vigie", "an older one");
    let path = file.to_str().expect("UTF-8");
    assert!(here.vigie(&["install", path], "").status.success());
    let mode = fs::metadata(&file)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o755);
    let version = |program: &str| {
        let output = Command::new(program).arg("--version").output();
        output.expect("it runs").stdout
    };
    assert_eq!(version(path), version(env!("CARGO_BIN_EXE_vigie")));
    let beside = fs::read_dir(file.parent().expect("a folder")).expect("it is read");
    assert_eq!(beside.count(), 1, "something is left beside it");
}

#[test]
fn installing_where_no_folder_is_names_the_file() {
    let here = Here::new();
    let output = here.vigie(&["install", "no/where/vigie"], "");
    assert_eq!(output.status.code(), Some(2));
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("cannot write no/where/vigie"), "{words}");
}
