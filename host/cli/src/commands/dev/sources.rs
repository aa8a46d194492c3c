//! The sources of a project: which files they are, and when they change.
//!
//! Events only wake: what counts is whether a file has another time or size than when it
//! was seen last. So a build that writes beside the sources does not begin another one,
//! and folders whose events do not arrive, as in some containers, are looked at all the
//! same, every two seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ignore::{DirEntry, WalkBuilder};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

/// How often files are looked at without an event.
const POLL: Duration = Duration::from_secs(2);
/// How long they have to stand still before they are built: an editor saves more than one.
const SETTLED: Duration = Duration::from_millis(100);
/// What tools write, beside what the project's .gitignore names.
const OUTPUTS: [&str; 6] = [
    ".git",
    ".venv",
    "__pycache__",
    "dist",
    "node_modules",
    "target",
];
const COMPONENT: &str = "wasm";

/// Time and size of each file.
type Files = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

/// The sources of a project, watched until they are dropped.
pub(crate) struct Sources {
    folder: PathBuf,
    changed: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
    /// Folders that the watcher has.
    watched: BTreeSet<PathBuf>,
    seen: Files,
}

impl Sources {
    /// Watches a folder; its files count as seen.
    pub(crate) fn watch(folder: &Path) -> Self {
        let changed = Arc::new(Notify::new());
        let wake = Arc::clone(&changed);
        let watcher = notify::recommended_watcher(move |_| wake.notify_one());
        if let Err(error) = &watcher {
            tracing::warn!(%error, "no change events; sources are looked at every {POLL:?}");
        }
        let mut sources = Self {
            folder: folder.to_owned(),
            changed,
            watcher: watcher.ok(),
            watched: BTreeSet::new(),
            seen: Files::new(),
        };
        sources.seen = sources.look();
        sources
    }

    /// Waits until files differ from those that were seen last, and stand still. They
    /// count as seen then.
    ///
    /// # Cancel safety
    /// When it is dropped, what has changed is still to be seen.
    pub(crate) async fn changed(&mut self) {
        let mut files = self.look();
        while files == self.seen {
            tokio::select! {
                () = self.changed.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
            files = self.look();
        }
        loop {
            tokio::time::sleep(SETTLED).await;
            let now = self.look();
            if now == files {
                break;
            }
            files = now;
        }
        self.seen = files;
    }

    /// Looks at the files, and watches folders that are new.
    fn look(&mut self) -> Files {
        let mut files = Files::new();
        for entry in walk(&self.folder) {
            let Ok(metadata) = entry.metadata() else {
                // It went meanwhile.
                continue;
            };
            if metadata.is_dir() {
                self.watch_folder(entry.into_path());
            } else if entry.path().extension().is_none_or(|it| it != COMPONENT) {
                files.insert(
                    entry.into_path(),
                    (metadata.modified().ok(), metadata.len()),
                );
            }
        }
        files
    }

    fn watch_folder(&mut self, folder: PathBuf) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        if !self.watched.contains(&folder) {
            if let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive) {
                let folder = folder.display();
                tracing::warn!(%error, %folder, "no change events from a folder");
            }
            self.watched.insert(folder);
        }
    }
}

/// The project's folders and files that are not output.
fn walk(folder: &Path) -> impl Iterator<Item = DirEntry> + use<> {
    let is_source = |entry: &DirEntry| {
        let name = entry.file_name();
        entry.depth() == 0 || OUTPUTS.iter().all(|it| name != *it)
    };
    let walk = WalkBuilder::new(folder)
        .hidden(false)
        .require_git(false)
        // What ignores the project as a whole is not about its files.
        .parents(false)
        .filter_entry(is_source)
        .build();
    walk.filter_map(Result::ok)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn a_source_in_a_new_folder_is_seen_and_outputs_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path(".gitignore"), "generated\n").unwrap();
        let mut sources = Sources::watch(folder.path());

        for output in ["target", "node_modules", "generated"] {
            fs::create_dir(path(output)).unwrap();
            fs::write(path(output).join("file"), "x").unwrap();
        }
        fs::write(path("service.wasm"), "x").unwrap();
        assert_eq!(sources.look(), sources.seen);

        fs::create_dir(path("src")).unwrap();
        fs::write(path("src/lib.rs"), "x").unwrap();
        let changed = tokio::time::timeout(Duration::from_secs(30), sources.changed());
        changed.await.unwrap();
        assert!(sources.seen.contains_key(&path("src/lib.rs")));
        assert_eq!(sources.seen.len(), 2, "{:?}", sources.seen);
    }

    #[tokio::test]
    async fn a_file_that_is_removed_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.rs");
        fs::write(&file, "x").unwrap();
        let mut sources = Sources::watch(folder.path());
        fs::remove_file(&file).unwrap();
        let changed = tokio::time::timeout(Duration::from_secs(30), sources.changed());
        changed.await.unwrap();
        assert!(sources.seen.is_empty());
    }
}
