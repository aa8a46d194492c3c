//! Watches a file, and offers what is in it whenever it has changed.
//!
//! The file's folder is watched, for editors, `cp` and `cargo build` replace
//! files in different ways; and it is looked at every two seconds, for change
//! events do not cross the border of every container. What is offered has
//! stood still for a moment: a file half written is not worth a refusal. What
//! was taken once is not offered again before something else was: a build that
//! merely touches the file undoes no rollback.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::component::import_policy::ImportPolicy;
use crate::component::reload::{Offer, Reloader};
use crate::component::source::ComponentSource;
use crate::sandbox::compiled_file::component_in;
use crate::sandbox::metadata;

/// How often the file is looked at without an event.
const POLL: Duration = Duration::from_secs(2);
/// How long the file has to stand still.
const SETTLED: Duration = Duration::from_millis(100);

/// Watches a file until it is dropped.
pub struct Watch {
    task: JoinHandle<()>,
    _watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// Watches `path`; a file that is there already and is not what `served`
    /// was made of is offered at once.
    pub fn start(path: PathBuf, served: Option<Stamp>, reloader: Arc<Reloader>) -> Self {
        let changed = Arc::new(Notify::new());
        let watcher = watcher(&path, Arc::clone(&changed));
        Self {
            task: tokio::spawn(run(path, served, reloader, changed)),
            _watcher: watcher,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What tells that a file changed, short of reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    modified: Option<SystemTime>,
    /// Of the file's contents, name or permissions, in nanoseconds as well.
    changed: (i64, i64),
    bytes: u64,
    /// Another file under the same name may have the same time and size.
    file: (u64, u64),
}

impl Stamp {
    /// Looks at a file; none where there is none.
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = match std::fs::metadata(path) {
            Ok(metadata) => metadata,
            // A link to nowhere is there, and what is wrong with it is to be told.
            Err(_) => std::fs::symlink_metadata(path).ok()?,
        };
        Some(Self {
            modified: metadata.modified().ok(),
            bytes: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            file: (metadata.dev(), metadata.ino()),
        })
    }
}

async fn run(
    path: PathBuf,
    mut seen: Option<Stamp>,
    reloader: Arc<Reloader>,
    changed: Arc<Notify>,
) {
    // What is served was offered from here, where it was made of this file.
    let mut taken = seen.map(|_| reloader.digest());
    loop {
        let stamp = look(&path).await;
        if stamp.is_some() && stamp != seen {
            seen = settled(&path, stamp).await;
            if seen.is_some() {
                taken = offer(&path, &reloader, taken).await;
                continue;
            }
        }
        tokio::select! {
            () = changed.notified() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

/// Offers what is in the file unless it is what was `taken` last; gives back
/// the digest of what was taken last by then.
///
/// Files are touched without being new: cargo links its outputs anew at every
/// build, which changes their times alone. After a rollback or an upload,
/// a touched file does not mean that the operator wants its component back.
async fn offer(path: &Path, reloader: &Reloader, taken: Option<String>) -> Option<String> {
    let file = ComponentSource::File(path.to_owned());
    let digest = match file.clone().read(reloader.max_bytes()).await {
        Ok(bytes) => {
            let digest =
                tokio::task::spawn_blocking(move || metadata::digest(component_in(&bytes)));
            digest.await.ok()
        }
        // It is offered, so that everybody is told why it is not taken.
        Err(_) => None,
    };
    if digest.is_some() && digest == taken {
        return taken;
    }
    // It tells the log itself how that went.
    let offer = Offer {
        component: file,
        policy: ImportPolicy::Any,
        asked_by: None,
    };
    match reloader.offer(offer).await.swapped {
        // Touched, it is tried again: a probe may go well another time, and another
        // component may be served by then.
        Err(error) if error.is_refusal() => None,
        _ => digest,
    }
}

/// Reads the file's metadata on a thread that a hanging share may block.
async fn look(path: &Path) -> Option<Stamp> {
    let path = path.to_owned();
    let look = tokio::task::spawn_blocking(move || Stamp::of(&path));
    look.await.ok().flatten()
}

/// Waits until the file stands still; none where it is gone by then.
async fn settled(path: &Path, mut stamp: Option<Stamp>) -> Option<Stamp> {
    loop {
        tokio::time::sleep(SETTLED).await;
        let now = look(path).await;
        if now == stamp {
            return now;
        }
        stamp = now;
    }
}

/// Watches the folder, which stays where the file is replaced.
fn watcher(path: &Path, changed: Arc<Notify>) -> Option<RecommendedWatcher> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let watching =
        notify::recommended_watcher(move |_| changed.notify_one()).and_then(|mut watcher| {
            watcher.watch(folder, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
    match watching {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(
                %error,
                folder = %folder.display(),
                "no change events; the file is looked at every {POLL:?}"
            );
            None
        }
    }
}
