//! What other processes wish of the runs that a node has under way: files in its state folder, since its store is this process's alone.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ipvm_workflow::{Control, Entropy};
use ucan_core::Cid;
use ucan_invocation::TaskId;

use crate::{StateError, SystemEntropy, file, state};

/// How many bytes of a wish are read: more than any has.
const LONGEST: u64 = 16;

/// What somebody wishes of a run that another process has under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// That it is paused, and can be resumed.
    Pause,
    /// That it is cancelled, and undone where its workflow says how.
    Cancel,
}

impl Wish {
    /// The word for it: `pause` or `cancel`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Cancel => "cancel",
        }
    }

    fn read(text: &[u8]) -> Option<Self> {
        [Self::Pause, Self::Cancel].into_iter().find(|wish| wish.name().as_bytes() == text.trim_ascii())
    }

    fn tell(self, control: &Control) {
        match self {
            Self::Pause => control.pause(),
            Self::Cancel => control.cancel(),
        }
    }

    /// Asks for it whoever has the run under way with the state folder `state`. It counts as long as the answer is kept.
    ///
    /// # Errors
    /// [`StateError`] where it cannot be written.
    pub fn ask(self, state: &Path, run: &TaskId) -> Result<Asked, StateError> {
        let folder = folder(state);
        state::make_folder(&folder)?;
        let mut suffix = [0; 8];
        SystemEntropy.fill(&mut suffix);
        let suffix = u64::from_be_bytes(suffix);
        let (path, temporary) =
            (folder.join(format!("{run}.{suffix:016x}")), folder.join(format!(".{suffix:016x}.new")));
        // It is locked before anybody can see it.
        let written = || -> io::Result<File> {
            let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
            file.lock()?;
            file.write_all(self.name().as_bytes())?;
            fs::rename(&temporary, &path)?;
            Ok(file)
        };
        match written() {
            Ok(alive) => Ok(Asked { path, _alive: alive }),
            Err(source) => {
                drop(fs::remove_file(&temporary));
                Err(StateError::Io { action: "write", path, source })
            }
        }
    }
}

/// A wish that waits to be heeded: a file that whoever heeds it removes. Dropping it takes the wish back, and so does the end of the
/// process, since the file is locked as long as somebody waits.
#[derive(Debug)]
pub struct Asked {
    path: PathBuf,
    _alive: File,
}

impl Asked {
    /// Whether it was heeded.
    ///
    /// # Errors
    /// [`StateError`] where that cannot be told.
    pub fn is_heeded(&self) -> Result<bool, StateError> {
        let there = self.path.try_exists();
        let failed = |source| StateError::Io { action: "look for", path: self.path.clone(), source };
        there.map(|there| !there).map_err(failed)
    }

    /// Takes it back; whether it was heeded before that.
    ///
    /// # Errors
    /// [`StateError`] where it cannot be removed.
    pub fn take_back(self) -> Result<bool, StateError> {
        match remove(&self.path) {
            Ok(removed) => Ok(!removed),
            Err(source) => Err(StateError::Io { action: "remove", path: self.path.clone(), source }),
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        // One that is left counts for nothing: nobody has it locked.
        let _left = remove(&self.path);
    }
}

/// Does once what is wished of runs that `control` finds. What cannot be read is left alone.
pub(crate) fn heed(state: &Path, control: &dyn Fn(&TaskId) -> Option<Control>) {
    let Ok(entries) = fs::read_dir(folder(state)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let run = name.to_str().and_then(|name| name.split_once('.')).and_then(|(run, _)| run.parse::<Cid>().ok());
        let Some(run) = run.map(TaskId::new) else { continue };
        // Whoever wishes is told that nobody took notice.
        let _unread = heed_one(&entry.path(), &|| control(&run));
    }
}

/// Does what one file wishes. Whoever removes it has decided: it was heeded, or taken back.
fn heed_one(path: &Path, control: &dyn Fn() -> Option<Control>) -> io::Result<()> {
    if !is_waited_for(path)? {
        return remove(path).map(drop);
    }
    let Some(control) = control() else { return Ok(()) };
    if let Some(wish) = Wish::read(&file::read_file(path, LONGEST)?)
        && remove(path)?
    {
        wish.tell(&control);
    }
    Ok(())
}

/// Whether the process that asked is there.
fn is_waited_for(path: &Path) -> io::Result<bool> {
    match File::open(path)?.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Removes a file; whether it was there.
fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn folder(state: &Path) -> PathBuf {
    state.join("wishes")
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use ucan_core::block;

    use super::*;

    /// The runs that were looked for, with files of these names in the folder.
    fn looked_for(state: &Path) -> Vec<TaskId> {
        let seen = RefCell::new(Vec::new());
        heed(state, &|run| {
            seen.borrow_mut().push(*run);
            Some(Control::default())
        });
        seen.into_inner()
    }

    #[test]
    fn a_wish_is_heeded_once_or_taken_back() {
        let state = tempfile::tempdir().unwrap();
        let run = TaskId::new(block::raw_cid(b"run"));
        assert_eq!(looked_for(state.path()), []);
        let heeded = Wish::Pause.ask(state.path(), &run).unwrap();
        assert!(!heeded.is_heeded().unwrap());
        heed(state.path(), &|_| None);
        assert!(!heeded.is_heeded().unwrap(), "nobody has the run under way");
        assert_eq!(looked_for(state.path()), [run]);
        assert!(heeded.is_heeded().unwrap() && heeded.take_back().unwrap());

        let taken_back = Wish::Cancel.ask(state.path(), &run).unwrap();
        let dropped = Wish::Cancel.ask(state.path(), &run).unwrap();
        assert!(!taken_back.take_back().unwrap());
        drop(dropped);
        assert_eq!(looked_for(state.path()), []);
        assert_eq!(fs::read_dir(folder(state.path())).unwrap().count(), 0);
    }

    #[test]
    fn what_nobody_waits_for_counts_for_nothing() {
        let state = tempfile::tempdir().unwrap();
        let run = TaskId::new(block::raw_cid(b"run"));
        state::make_folder(&folder(state.path())).unwrap();
        let (left, other) = (folder(state.path()).join(format!("{run}.0")), folder(state.path()).join("README"));
        fs::write(&left, "cancel").unwrap();
        fs::write(&other, "cancel").unwrap();
        // A folder is no wish, and keeps nobody from others.
        fs::create_dir(folder(state.path()).join(format!("{run}.1"))).unwrap();
        assert_eq!(looked_for(state.path()), []);
        assert!(!left.exists() && other.exists());
    }

    #[test]
    fn what_is_no_wish_is_left_alone() {
        let state = tempfile::tempdir().unwrap();
        let run = TaskId::new(block::raw_cid(b"run"));
        let asked = Wish::Cancel.ask(state.path(), &run).unwrap();
        fs::write(&asked.path, "burn").unwrap();
        let control = Control::default();
        heed(state.path(), &|_| Some(control.clone()));
        assert!(!asked.is_heeded().unwrap());
    }
}
