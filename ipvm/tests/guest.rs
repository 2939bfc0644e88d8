//! Projects for new guests: what is written, what is refused, and that what is written builds and runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod shell;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use ipvm::guest::{GuestError, Language, write};
use ipvm_task::{Limits, Runtime, WasmtimeOptions, WasmtimeRuntime};
use shell::Shell;
use ucan_core::{Ipld, block};
use wit_parser::{Resolve, WorldItem};

const LANGUAGES: [(Language, &str); 2] = [(Language::Rust, "rust"), (Language::C, "c")];

fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path.display().to_string()) }
    }
    found.sort();
    found
}

#[test]
fn the_command_writes_a_project() {
    let shell = Shell::new();
    for (_, lang) in LANGUAGES {
        let name = format!("hello-{lang}");
        let said = shell.ok(&["guest", "new", "--lang", lang, &name]);
        assert!(said.contains(&format!("{name}/build.sh builds {name}.wasm")), "{said}");
        for file in files(&shell.path(&name)) {
            let text = fs::read_to_string(&file).unwrap();
            assert!(!text.contains("{{"), "{file}: {text}");
        }
        // Nothing is written over.
        let before = files(&shell.path(&name));
        assert!(shell.refused(&["guest", "new", "--lang", lang, &name]).contains("is there already"));
        assert_eq!(files(&shell.path(&name)), before);
    }
    let made = &shell.json(&["guest", "new", "--lang", "c", "hello", "--output", "elsewhere"])[0];
    assert_eq!((made["event"].as_str(), made["build"].as_str()), (Some("guest"), Some("elsewhere/build.sh")));
    assert!(shell.path("elsewhere/guest.c").exists());
    assert!(shell.refused(&["guest", "new", "--lang", "c", "Hello"]).contains("\"Hello\""));
}

#[test]
fn the_written_world_parses_and_imports_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (language, lang) in LANGUAGES {
        let project = folder.path().join(lang);
        write(language, "my-guest2", &project).unwrap();
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(project.join("wit")).unwrap();
        assert_eq!(resolve.packages[package].name.to_string(), "guest:my-guest2@0.1.0");
        let world = &resolve.worlds[resolve.select_world(&[package], Some("guest")).unwrap()];
        assert!(world.imports.is_empty());
        let exports: Vec<_> = world.exports.values().collect();
        assert!(matches!(exports[..], [WorldItem::Function(function)] if function.name == "greet"), "{exports:?}");
    }
}

#[cfg(unix)]
#[test]
fn the_script_is_a_program_that_a_shell_can_read() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    for (language, lang) in LANGUAGES {
        let project = folder.path().join(lang);
        write(language, "hello", &project).unwrap();
        let script = project.join("build.sh");
        assert_eq!(script.metadata().unwrap().permissions().mode() & 0o100, 0o100);
        assert!(Command::new("sh").arg("-n").arg(&script).status().unwrap().success());
        let text = fs::read_to_string(script).unwrap();
        let command =
            if lang == "rust" { "cargo build --release --target wasm32-unknown-unknown" } else { "wit-bindgen c wit" };
        assert!(text.contains(command), "{text}");
    }
}

#[test]
fn names_are_identifiers_of_wit() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(format!("x{}", name.replace('/', "_")));
    for name in ["a", "hello", "my-guest-a2", "worlds", &"a".repeat(64)] {
        write(Language::C, name, &at(name)).unwrap();
        let mut resolve = Resolve::default();
        resolve.push_dir(at(name).join("wit")).unwrap();
    }
    for name in [
        "",
        "-",
        "a-",
        "-a",
        "a--b",
        "2a",
        "a-2",
        "A",
        "a_b",
        "a.b",
        "a b",
        "../a",
        "é",
        "world",
        "u8",
        "error-context",
        &"a".repeat(65),
    ] {
        let error = write(Language::C, name, &at(name)).unwrap_err();
        assert!(matches!(error, GuestError::Name { .. }), "{error:?}");
        assert!(!at(name).exists());
    }
    let error = write(Language::C, "a", &folder.path().join("none/a")).unwrap_err();
    assert!(matches!(error, GuestError::Io { .. }), "{error:?}");
}

/// Builds a project and calls its function.
fn build(language: Language) {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("project");
    write(language, "hello", &project).unwrap();
    // What this test was built with is for another machine.
    let built = Command::new(project.join("build.sh")).env_remove("CARGO_TARGET_DIR").output().unwrap();
    assert!(built.status.success(), "{built:?}");
    let wasm = fs::read(project.join("hello.wasm")).unwrap();
    let runtime = WasmtimeRuntime::new(&WasmtimeOptions::default()).unwrap();
    let guest = runtime.prepare(&block::raw_cid(&wasm), &wasm).unwrap();
    for (name, greeting) in [("Ada", "Hello, Ada!"), ("", "Hello, !")] {
        let done = guest.call("greet", &Ipld::List(vec![Ipld::String(name.to_owned())]), &Limits::STANDARD).unwrap();
        assert_eq!(done.output, Ipld::String(greeting.to_owned()));
    }
}

fn skip(language: Language) {
    let said = format!("SKIPPED: building a guest in {language:?}; it needs {}\n", language.needs());
    // Written past the capture of tests, so that it is seen.
    std::io::stderr().write_all(said.as_bytes()).unwrap();
}

fn answers(command: &mut Command) -> bool {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

#[test]
fn a_project_in_rust_builds_and_runs() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let target = ["--print", "target-libdir", "--target", "wasm32-unknown-unknown"];
    let folder = Command::new(rustc).args(target).output();
    let folder = folder.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    match folder.trim() {
        "" => skip(Language::Rust),
        folder if !Path::new(folder).is_dir() => skip(Language::Rust),
        _ => build(Language::Rust),
    }
}

#[test]
fn a_project_in_c_builds_and_runs() {
    let compiler = || match std::env::var_os("CC") {
        Some(_) => true,
        None => answers(Command::new("python3").args(["-m", "ziglang", "version"])),
    };
    if answers(Command::new("wit-bindgen").arg("--version")) && compiler() {
        build(Language::C)
    } else {
        skip(Language::C)
    }
}
