//! Compiled components on disk: found again, and never trusted unseen.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{GUEST, LIMITS, ints};
use ipvm_task::{Artifacts, ArtifactsError, Compat, Runtime, Stats, WasmtimeOptions, WasmtimeRuntime};
use tempfile::TempDir;
use ucan_core::{Ipld, block};

const KEY: [u8; 32] = [7; 32];
const ADD: &str = r#"(component
    (core module $m (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
    (core instance $i (instantiate $m))
    (func (export "add") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add"))))"#;

fn runtime(folder: &Path, key: [u8; 32], options: &WasmtimeOptions) -> WasmtimeRuntime {
    WasmtimeRuntime::new(options).unwrap().with_artifacts(Artifacts::open(folder, key).unwrap())
}

/// What a new process does with the folder: it adds two numbers.
fn start(folder: &Path, key: [u8; 32], options: &WasmtimeOptions) -> Stats {
    let runtime = runtime(folder, key, options);
    let wasm = wat::parse_str(ADD).unwrap();
    let component = runtime.prepare(&block::raw_cid(&wasm), &wasm).unwrap();
    assert_eq!(component.call("add", &ints([40, 2]), &LIMITS).unwrap().output, Ipld::Integer(42));
    runtime.stats()
}

fn counts(stats: Stats) -> (u64, u64) {
    (stats.compiled, stats.loaded)
}

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("artifacts");
    (folder, path)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn the_second_start_compiles_nothing() {
    let (_kept, folder) = folder();
    let options = WasmtimeOptions::default();
    assert_eq!(counts(start(&folder, KEY, &options)), (1, 0));
    for _ in 0..3 {
        assert_eq!(counts(start(&folder, KEY, &options)), (0, 1));
    }
    assert_eq!(files(&folder).len(), 1);
}

#[test]
fn what_was_loaded_gives_the_same_for_the_same_fuel() {
    let (_kept, folder) = folder();
    let wasm = wat::parse_str(GUEST).unwrap();
    let cid = block::raw_cid(&wasm);
    let called = || {
        let runtime = runtime(&folder, KEY, &WasmtimeOptions::default());
        let component = runtime.prepare(&cid, &wasm).unwrap();
        let exports: Vec<String> = component.exports().iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
        let calls: Vec<_> = component
            .exports()
            .iter()
            .map(|(name, signature)| {
                let params = Ipld::List(vec![Ipld::Integer(3); signature.params.len()]);
                component.call(name, &params, &LIMITS).map_err(|error| error.name())
            })
            .collect();
        (runtime.stats().loaded, exports, calls)
    };
    let (compiled, loaded) = (called(), called());
    assert_eq!((compiled.0, loaded.0), (0, 1));
    assert_eq!((compiled.1, compiled.2), (loaded.1, loaded.2));
}

#[test]
fn no_byte_of_an_artifact_can_be_changed() {
    let (_kept, folder) = folder();
    let options = WasmtimeOptions::default();
    start(&folder, KEY, &options);
    let [file] = files(&folder).try_into().unwrap();
    let good = fs::read(&file).unwrap();
    // The code, the beginning, and places all over.
    let places = (0..64).chain((64..good.len()).step_by(good.len() / 40)).chain([good.len() - 1]);
    for place in places {
        let mut bad = good.clone();
        bad[place] ^= 0x10;
        fs::write(&file, &bad).unwrap();
        assert_eq!(counts(start(&folder, KEY, &options)), (1, 0), "byte {place}");
        // It was compiled anew, and kept.
        assert_eq!(counts(start(&folder, KEY, &options)), (0, 1), "byte {place}");
    }
    for length in [0, 1, 31, 32, 33, good.len() / 2, good.len() - 1] {
        fs::write(&file, &good[..length]).unwrap();
        assert_eq!(counts(start(&folder, KEY, &options)), (1, 0), "{length} bytes");
    }
    fs::write(&file, [&*good, b"more"].concat()).unwrap();
    assert_eq!(counts(start(&folder, KEY, &options)), (1, 0));
}

#[test]
fn an_artifact_is_of_use_only_for_what_it_was_made_for() {
    let (_kept, folder) = folder();
    let options = WasmtimeOptions::default();
    start(&folder, KEY, &options);
    // Somebody without the key.
    assert_eq!(counts(start(&folder, [8; 32], &options)), (1, 0));
    // What was made with another key was removed, and made anew with this one.
    assert_eq!(counts(start(&folder, KEY, &options)), (1, 0));

    // Another profile.
    let compat = WasmtimeOptions { compat: Some(Compat::Homestar), ..options };
    assert_eq!(counts(start(&folder, KEY, &compat)), (1, 0));
    assert_eq!(counts(start(&folder, KEY, &compat)), (0, 1));
    assert_eq!(counts(start(&folder, KEY, &options)), (0, 1));

    // Another component, whose artifact is put in the place of this one's.
    let runtime = runtime(&folder, KEY, &options);
    let before = files(&folder);
    let other = wat::parse_str(GUEST).unwrap();
    runtime.prepare(&block::raw_cid(&other), &other).unwrap();
    let after = files(&folder);
    let [new] = after.iter().filter(|file| !before.contains(file)).collect::<Vec<_>>().try_into().unwrap();
    for file in before {
        fs::copy(new, file).unwrap();
    }
    assert_eq!(counts(start(&folder, KEY, &options)), (1, 0));
}

#[test]
fn a_folder_in_which_others_can_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let (_kept, folder) = folder();
    fs::create_dir(&folder).unwrap();
    for mode in [0o770, 0o702] {
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
        let refused = Artifacts::open(&folder, KEY).unwrap_err();
        assert!(matches!(refused, ArtifactsError::Shared { .. }), "{refused}");
        assert!(refused.to_string().contains("chmod go-w"));
    }
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(Artifacts::open(&folder, KEY).is_ok());
    // What this makes itself, nobody else can look into.
    let made = folder.join("made/deep");
    Artifacts::open(&made, KEY).unwrap();
    assert_eq!(fs::metadata(made).unwrap().permissions().mode() & 0o777, 0o700);
    let file = folder.join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(Artifacts::open(&file.join("below"), KEY), Err(ArtifactsError::Io { .. })));
}

#[test]
fn a_folder_that_takes_nothing_costs_nothing_but_time() {
    let (_kept, folder) = folder();
    let options = WasmtimeOptions::default();
    // A folder where the file is to be.
    start(&folder, KEY, &options);
    let [file] = files(&folder).try_into().unwrap();
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    fs::write(file.join("in the way"), "").unwrap();
    assert_eq!(counts(start(&folder, KEY, &options)), (1, 0));
    assert_eq!(files(&folder), [file]);
    // No folder at all any more.
    let runtime = runtime(&folder, KEY, &options);
    fs::remove_dir_all(&folder).unwrap();
    let wasm = wat::parse_str(ADD).unwrap();
    assert!(runtime.prepare(&block::raw_cid(&wasm), &wasm).is_ok());
    // No room.
    let none = Artifacts::open(&folder, KEY).unwrap().with_max_bytes(100);
    let runtime = WasmtimeRuntime::new(&options).unwrap().with_artifacts(none);
    assert!(runtime.prepare(&block::raw_cid(&wasm), &wasm).is_ok());
    assert_eq!(files(&folder).len(), 0);
}

/// A file system that is full, as the kernel reports it: a limit on the size of files that a process writes.
#[test]
fn a_full_disk_leaves_nothing_half_written() {
    const CHILD: &str = "IPVM_TEST_FULL_DISK";
    if let Ok(folder) = std::env::var(CHILD) {
        assert_eq!(counts(start(Path::new(&folder), KEY, &WasmtimeOptions::default())), (1, 0));
        return;
    }
    let (_kept, folder) = folder();
    let test = std::env::current_exe().unwrap();
    // In blocks of 512 or 1,024 bytes. The signal that comes with it is ignored, so that writing fails.
    let script =
        format!("trap '' XFSZ; ulimit -f 4; exec '{}' --exact a_full_disk_leaves_nothing_half_written", test.display());
    let child = std::process::Command::new("sh").args(["-c", &script]).env(CHILD, &folder).output().unwrap();
    assert!(child.status.success(), "{child:?}");
    assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"), "{child:?}");
    assert_eq!(files(&folder).len(), 0);
    assert_eq!(counts(start(&folder, KEY, &WasmtimeOptions::default())), (1, 0));
    assert_eq!(counts(start(&folder, KEY, &WasmtimeOptions::default())), (0, 1));
}

#[test]
fn what_was_written_first_makes_room() {
    let (_kept, folder) = folder();
    let options = WasmtimeOptions::default();
    start(&folder, KEY, &options);
    let size = fs::metadata(&files(&folder)[0]).unwrap().len();
    // Older and larger than all that comes, and somebody else's.
    fs::write(folder.join("notes.txt"), vec![0; 10 << 20]).unwrap();
    let room = Artifacts::open(&folder, KEY).unwrap().with_max_bytes(size * 5 / 2);
    let runtime = WasmtimeRuntime::new(&options).unwrap().with_artifacts(room);
    for n in 0..4 {
        let wasm =
            wat::parse_str(ADD.replace("i32.add", "i32.sub").replacen("\"add\"", &format!("\"add{n}\""), 0)).unwrap();
        let wasm = [wasm, vec![0, 3, 1, b'n', n]].concat();
        runtime.prepare(&block::raw_cid(&wasm), &wasm).unwrap();
        let ours = files(&folder).into_iter().filter(|file| !file.ends_with("notes.txt"));
        let taken: u64 = ours.map(|file| fs::metadata(file).unwrap().len()).sum();
        assert!(taken <= size * 5 / 2, "{taken}");
    }
    assert_eq!(runtime.stats().compiled, 4);
    assert!(folder.join("notes.txt").exists());
    assert_eq!(files(&folder).len(), 3);
    // The one of the first start is gone.
    assert_eq!(counts(start(&folder, KEY, &options)), (1, 0));
}

#[test]
fn many_starts_at_once_share_a_folder() {
    let (_kept, folder) = folder();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| start(&folder, KEY, &WasmtimeOptions { concurrency: 1, ..WasmtimeOptions::default() }));
        }
    });
    assert_eq!(files(&folder).len(), 1);
    assert_eq!(counts(start(&folder, KEY, &WasmtimeOptions::default())), (0, 1));
}
