//! What a state folder keeps of the components that were compiled for it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod shell;

use std::fs;
use std::path::Path;

use shell::Shell;

/// Runs the example workflow over a text, and gives what the log says of components: compiled, loaded.
fn run(shell: &Shell, text: &str) -> (usize, usize) {
    shell.write("text.md", text);
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/workflows/words.json");
    let document = document.display().to_string();
    let output = shell.command(&["--log", "debug", "run", &document, "--input", "text=text.md"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let log = String::from_utf8(output.stderr).unwrap();
    let count = |what: &str| log.lines().filter(|line| line.contains(what)).count();
    (count("compiled a component"), count("loaded a compiled component"))
}

#[test]
fn a_component_is_compiled_once_for_all_processes() {
    let shell = Shell::new();
    assert_eq!(run(&shell, "one two"), (2, 0));
    assert_eq!(run(&shell, "three four"), (0, 2));
    // What is known needs no component at all.
    assert_eq!(run(&shell, "three four"), (0, 0));
    fs::remove_dir_all(shell.path(".ipvm/artifacts")).unwrap();
    assert_eq!(run(&shell, "five six"), (2, 0));
    fs::remove_file(shell.path(".ipvm/artifacts.key")).unwrap();
    assert_eq!(run(&shell, "seven eight"), (2, 0));
    assert_eq!(run(&shell, "nine ten"), (0, 2));
}

#[cfg(unix)]
#[test]
fn a_key_or_a_folder_that_others_can_use_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let shell = Shell::new();
    run(&shell, "one");
    let open = |path: &str, mode| fs::set_permissions(shell.path(path), fs::Permissions::from_mode(mode)).unwrap();
    open(".ipvm/artifacts.key", 0o644);
    assert!(
        shell.refused(&["show", "bafkreigpcqnbbyuzbagfwyh5iknsgyhg6fh3wp2qy5sfapq4iwynxaowha"]).contains("chmod 600")
    );
    open(".ipvm/artifacts.key", 0o600);
    open(".ipvm/artifacts", 0o777);
    assert!(
        shell.refused(&["show", "bafkreigpcqnbbyuzbagfwyh5iknsgyhg6fh3wp2qy5sfapq4iwynxaowha"]).contains("chmod go-w")
    );
}
