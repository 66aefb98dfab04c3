//! Files that are not whole yet.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// A file that is not whole yet; it is removed if it never is. It is locked as long as somebody writes it: one that is not
/// was left behind.
pub(crate) struct Part {
    path: PathBuf,
    pub(crate) file: File,
}

/// How the name of a part begins and ends.
const NAME: [&str; 2] = [".aemp-", ".part"];

impl Part {
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let path = path.with_file_name(format!("{}{:016x}{}", NAME[0], u64::from_ne_bytes(random), NAME[1]));
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        file.lock()?;
        Ok(Part { path, file })
    }

    /// It is whole: gives it its name, unless somebody has taken that meanwhile.
    pub(crate) fn becomes(&mut self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::hard_link(&self.path, path)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // If that fails, a part is left behind until the next start.
        let _left = fs::remove_file(&self.path);
    }
}

/// Removes the parts below a folder that a program has left behind which was killed. What cannot be read or removed stays.
pub(crate) fn sweep(folder: &Path) {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            // Symbolic links are not followed: what they lead to is swept where it is.
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() && is_part(&entry.file_name().to_string_lossy()) => remove(&entry.path()),
                _ => {}
            }
        }
    }
}

fn is_part(name: &str) -> bool {
    let digits = name.strip_prefix(NAME[0]).and_then(|rest| rest.strip_suffix(NAME[1]));
    digits.is_some_and(|digits| digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

fn remove(path: &Path) {
    let Ok(file) = OpenOptions::new().write(true).open(path) else { return };
    match file.try_lock() {
        Ok(()) => match fs::remove_file(path) {
            Ok(()) => tracing::info!(path = %path.display(), "a part of a file that was left behind is removed"),
            Err(error) => tracing::warn!(path = %path.display(), %error, "a part of a file was left behind"),
        },
        // Somebody is at it.
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_behind_is_removed_and_what_is_being_written_stays() {
        let folder = std::env::temp_dir().join(format!("aemp-part-{}", std::process::id()));
        fs::create_dir_all(folder.join("below")).expect("a folder");
        let left = folder.join("below/.aemp-0123456789abcdef.part");
        fs::write(&left, "left").expect("there is room");
        let others = [folder.join(".aemp-mine.part"), folder.join("report.part")];
        others.iter().for_each(|path| fs::write(path, "mine").expect("there is room"));
        let part = Part::new(&folder.join("below/new")).expect("there is room");
        sweep(&folder);
        assert!(!left.exists() && part.path.exists() && others.iter().all(|path| path.exists()));
        drop(part);
        assert_eq!(fs::read_dir(folder.join("below")).expect("it is there").count(), 0);
        fs::remove_dir_all(&folder).expect("it is there");
    }
}
