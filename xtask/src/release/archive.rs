//! Archives that come out the same, byte by byte, wherever and whenever they are made
//! of the same files.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context;
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

/// Packs a folder, by its own name, as a `.tar.gz`: files in the order of their names, of
/// one time and no owner.
///
/// # Errors
/// When a file cannot be read, or the archive cannot be written.
pub(crate) fn pack(folder: &Path, to: &Path, seconds: u64) -> anyhow::Result<()> {
    let name = folder.file_name().context("a folder without a name")?;
    let file = File::create(to).with_context(|| format!("cannot write {}", to.display()))?;
    // Its header has neither a time nor a name.
    let gzip = GzBuilder::new().write(file, Compression::best());
    let mut archive = Builder::new(gzip);
    for path in files(folder)? {
        let content = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_size(content.len() as u64);
        header.set_mtime(seconds);
        header.set_mode(if is_program(&path)? { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        let inside = Path::new(name).join(path.strip_prefix(folder)?);
        archive.append_data(&mut header, inside, content.as_slice())?;
    }
    archive.into_inner()?.finish()?.sync_all()?;
    Ok(())
}

/// The line by which `sha256sum --check` checks a file beside it.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn checksum(file: &Path) -> anyhow::Result<String> {
    let content = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let digest = Sha256::digest(&content);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let name = file.file_name().context("a file without a name")?;
    Ok(format!("{digest}  {}\n", name.to_string_lossy()))
}

/// All files below a folder, sorted.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => files.extend(self::files(&path)?),
            false => files.push(path),
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(unix)]
fn is_program(path: &Path) -> anyhow::Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;

    Ok(fs::metadata(path)?.permissions().mode() & 0o100 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> anyhow::Result<bool> {
    Ok(path.extension() == Some("exe".as_ref()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    /// Writes files in the order given, and packs them.
    fn packed(names: &[&str]) -> (Vec<u8>, String) {
        let work = tempfile::tempdir().unwrap();
        let folder = work.path().join("some-1.0");
        for name in names {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, format!("the content of {name}")).unwrap();
        }
        let archive = work.path().join("some-1.0.tar.gz");
        pack(&folder, &archive, 1_700_000_000).unwrap();
        (fs::read(&archive).unwrap(), checksum(&archive).unwrap())
    }

    #[test]
    fn the_same_files_make_the_same_archive() {
        let (one, line) = packed(&["b.txt", "a.txt", "man/man1/c.1"]);
        let (other, other_line) = packed(&["man/man1/c.1", "a.txt", "b.txt"]);
        assert_eq!(one, other);
        assert_eq!(line, other_line);
        assert_ne!(one, packed(&["b.txt", "a.txt", "man/man1/d.1"]).0);
        assert!(line.ends_with("  some-1.0.tar.gz\n"), "{line}");
        let digest = line.split(' ').next().unwrap();
        assert_eq!(digest.len(), 64);
    }

    #[test]
    fn an_archive_has_each_file_below_one_folder_with_one_time() {
        let (bytes, _) = packed(&["b.txt", "a.txt", "man/man1/c.1"]);
        let mut archive = tar::Archive::new(GzDecoder::new(bytes.as_slice()));
        let mut found = BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let header = entry.header();
            assert_eq!(header.mtime().unwrap(), 1_700_000_000);
            assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
            assert_eq!(header.mode().unwrap(), 0o644);
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            found.insert(path, text);
        }
        let paths: Vec<_> = found.keys().map(String::as_str).collect();
        assert_eq!(
            paths,
            ["some-1.0/a.txt", "some-1.0/b.txt", "some-1.0/man/man1/c.1"]
        );
        assert_eq!(found["some-1.0/a.txt"], "the content of a.txt");
    }
}
