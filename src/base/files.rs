//! Files that are whole at every moment.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Writes a file in one piece: whoever reads it sees the old one or the new one, however many threads and processes
/// write it at a time. Folders that are missing are made.
///
/// # Errors
/// Those of the operating system.
pub fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
    std::fs::write(&beside, bytes)?;
    std::fs::rename(&beside, path).inspect_err(|_| {
        // What could not take its place is of no use; that it cannot be removed either changes nothing.
        let _ = std::fs::remove_file(&beside);
    })
}
