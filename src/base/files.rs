//! Files that are whole at every moment.

use std::fs::File;
use std::io::{BufWriter, Result, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Writes a file in one piece: whoever reads it sees the old one or the new one, however many threads and processes
/// write it at a time. Folders that are missing are made. A power cut may leave a file that is damaged: it is for what is
/// checked when it is read, and can be made anew.
///
/// # Errors
/// Those of the operating system.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = folder_of(path) {
        let named = |error: std::io::Error| {
            std::io::Error::new(error.kind(), format!("the folder {} cannot be made: {error}", folder.display()))
        };
        std::fs::create_dir_all(folder).map_err(named)?;
    }
    in_place_of(path, |file| file.write_all(bytes), false)
}

/// Writes a file in one piece that outlives a power cut: what `write` writes goes to a temporary file beside it, which is
/// brought to the disk, takes the file's place, and then the folder is brought to the disk. Whatever fails before that, or kills
/// the process, the former file is as it was.
///
/// # Errors
/// Those of the operating system, and of `write`.
pub fn write_durably(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    in_place_of(path, write, true)
}

fn in_place_of(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>, durably: bool) -> Result<()> {
    let beside = temporary(path);
    let written = || -> Result<()> {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(&beside)?);
        write(&mut file)?;
        let file = file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        if durably {
            file.sync_all()?;
        }
        // Windows moves no file that is open.
        drop(file);
        std::fs::rename(&beside, path)
    };
    written().inspect_err(|_| {
        // What could not take its place is of no use; that it cannot be removed either changes nothing.
        let _ = std::fs::remove_file(&beside);
    })?;
    if durably { sync_folder(folder_of(path).unwrap_or(Path::new("."))) } else { Ok(()) }
}

/// The folder that a path names; none, where it is a name alone.
fn folder_of(path: &Path) -> Option<&Path> {
    path.parent().filter(|folder| !folder.as_os_str().is_empty())
}

/// Brings to the disk which files a folder has.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> Result<()> {
    let opened = match File::open(folder) {
        // A folder that can be written and not read: the file is in its place.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return Ok(()),
        opened => opened?,
    };
    match opened.sync_all() {
        // Some file systems have no such thing, and keep folders as they do.
        Err(error) if matches!(error.kind(), std::io::ErrorKind::InvalidInput | std::io::ErrorKind::Unsupported) => {
            Ok(())
        }
        outcome => outcome,
    }
}

/// Elsewhere a folder cannot be opened, and the file system keeps a journal of names.
#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> Result<()> {
    Ok(())
}

/// What temporary files end with.
const ENDING: &str = ".partial";

/// What tells this run of a process from an earlier one that had its number, in hexadecimal digits.
fn stamp() -> &'static str {
    static STAMP: OnceLock<String> = OnceLock::new();
    STAMP.get_or_init(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        format!("{:x}", since.as_nanos())
    })
}

/// The path of a temporary file beside this one, that no other write has: `<path>.<process>-<stamp>-<number>.partial`.
fn temporary(path: &Path) -> PathBuf {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let mut name = path.as_os_str().to_owned();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    name.push(format!(".{}-{}-{number}{ENDING}", std::process::id(), stamp()));
    name.into()
}

/// Removes the temporary files that killed processes have left in a folder of files that `is_ours` knows by their names,
/// and returns how many there were. Those of processes that still run stay.
///
/// # Errors
/// When the folder cannot be read.
pub fn remove_left_over(folder: &Path, is_ours: impl Fn(&str) -> bool) -> Result<usize> {
    let mut removed = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some((of, process, stamp)) = name.to_str().and_then(parts) else { continue };
        if is_ours(of) && is_left_over(process, stamp, &entry) && std::fs::remove_file(entry.path()).is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}

/// The name of the file that a temporary one is for, and by which process and run of it.
fn parts(name: &str) -> Option<(&str, u32, &str)> {
    let (of, rest) = name.strip_suffix(ENDING)?.rsplit_once('.')?;
    let mut rest = rest.split('-');
    let (process, stamp, number) = (rest.next()?.parse().ok()?, rest.next()?, rest.next()?);
    (number.parse::<u64>().is_ok() && rest.next().is_none()).then_some((of, process, stamp))
}

/// Whether nobody writes it any more. Where there is no telling whether a process runs, a file that has not grown for
/// ten minutes is left over.
fn is_left_over(process: u32, of_stamp: &str, entry: &std::fs::DirEntry) -> bool {
    if process == std::process::id() {
        return of_stamp != stamp();
    }
    if cfg!(target_os = "linux") && Path::new("/proc/self").exists() {
        return !Path::new(&format!("/proc/{process}")).exists();
    }
    let age = entry.metadata().and_then(|data| data.modified()).ok().and_then(|time| time.elapsed().ok());
    age.is_some_and(|age| age > Duration::from_secs(600))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_leaves_the_former_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_durably(&path, |out| out.write_all(b"old")).unwrap();
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        let error = write_durably(&path, |out| out.write_all(b"ne").and_then(|()| Err(full()))).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        write_durably(&path, |out| out.write_all(b"new")).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn only_what_nobody_writes_any_more_is_left_over() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str| std::fs::write(folder.path().join(name), b"x").unwrap();
        let own = std::process::id();
        // Of this run; of an earlier one with the same number; of a process that cannot be; of others; and no temporary files.
        let kept = [
            format!("a.{own}-{}-7.partial", stamp()),
            format!("other.{own}-0-7.partial"),
            "a.partial".to_owned(),
            "a.1-2.partial".to_owned(),
            "a".to_owned(),
        ];
        for name in &kept {
            put(name);
        }
        put(&format!("a.{own}-0-7.partial"));
        let mut gone = 1;
        if cfg!(target_os = "linux") {
            put(&format!("a.{}-0-7.partial", u32::MAX));
            gone += 1;
        }
        assert_eq!(remove_left_over(folder.path(), |name| name == "a").unwrap(), gone);
        for name in kept {
            assert!(folder.path().join(&name).exists(), "{name}");
        }
    }
}
