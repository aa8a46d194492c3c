//! What the log says at the start of the component: what it imports, and that it is still
//! being compiled.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::terminal;
use fanlight_telemetry::sanitize::one_line;

/// A smaller component is compiled before an operator wonders.
const LARGE_BYTES: u64 = 2 * 1024 * 1024;
/// One that was compiled before is loaded sooner than this.
const LONG: Duration = Duration::from_secs(1);
/// What a line shows of a name: names are the component's.
const MAX_NAME_BYTES: usize = 200;
/// Names of a line.
const MAX_NAMES: usize = 12;

/// What a component imports, and what of it the host denies, in one line.
pub(crate) fn imports<'a>(imports: impl Iterator<Item = (&'a str, bool)>) -> String {
    let mut count = 0;
    // Whole packages are denied, but for an interface of `wasi:http`.
    let mut denied = BTreeSet::new();
    for (name, is_granted) in imports {
        count += 1;
        if is_granted {
            continue;
        }
        let name = name.split_once('@').map_or(name, |(name, _)| name);
        denied.insert(match name.split_once('/') {
            Some((package @ ("wasi:filesystem" | "wasi:sockets"), _)) => format!("{package}/*"),
            _ => one_line(name, MAX_NAME_BYTES),
        });
    }
    let interfaces = match count {
        1 => "1 interface".to_owned(),
        _ => format!("{count} interfaces"),
    };
    if denied.is_empty() {
        return format!("imports: {interfaces}, all granted");
    }
    let more = denied.len().saturating_sub(MAX_NAMES);
    let mut names: Vec<_> = denied.into_iter().take(MAX_NAMES).collect();
    if more > 0 {
        names.push(format!("{more} more"));
    }
    format!(
        "imports: {interfaces}; denied when called: {}",
        names.join(", ")
    )
}

/// Logs that a large component is being compiled, if that takes long. Dropped, it is
/// silent.
pub(crate) struct Compiling(Option<JoinHandle<()>>);

impl Compiling {
    /// Begins with the component in a file.
    pub(crate) fn of(path: &Path) -> Self {
        let size = std::fs::metadata(path).map_or(0, |it| it.len());
        let path = path.display().to_string();
        Self((size >= LARGE_BYTES).then(|| {
            tokio::spawn(async move {
                tokio::time::sleep(LONG).await;
                let size = terminal::size(size);
                tracing::info!("compiling {path} ({size})");
            })
        }))
    }
}

impl Drop for Compiling {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denied_imports_stand_in_one_line_by_package() {
        let none: [(&str, bool); 0] = [];
        assert_eq!(
            imports(none.into_iter()),
            "imports: 0 interfaces, all granted"
        );
        let one = [("wasi:http/types@0.2.12", true)];
        assert_eq!(
            imports(one.into_iter()),
            "imports: 1 interface, all granted"
        );
        let several = [
            ("wasi:filesystem/preopens@0.2.12", false),
            ("wasi:filesystem/types@0.2.12", false),
            ("wasi:http/outgoing-handler@0.2.12", false),
            ("wasi:http/types@0.2.12", true),
            ("wasi:sockets/tcp@0.2.12", false),
            ("wasi:sockets/udp@0.2.12", false),
        ];
        assert_eq!(
            imports(several.into_iter()),
            "imports: 6 interfaces; denied when called: wasi:filesystem/*, \
             wasi:http/outgoing-handler, wasi:sockets/*"
        );
    }

    #[test]
    fn names_of_a_component_are_bounded_and_harmless() {
        let long = format!("a\u{1b}[2J{}", "x".repeat(1000));
        let names: Vec<_> = (0..50).map(|at| format!("{at}{long}")).collect();
        let line = imports(names.iter().map(|it| (it.as_str(), false)));
        assert!(!line.contains('\u{1b}'), "{line}");
        assert!(line.len() < 3000 && line.ends_with("38 more"), "{line}");
    }

    #[tokio::test]
    async fn a_small_component_needs_no_line() {
        let file = std::env::current_exe().unwrap();
        assert!(Compiling::of(&file).0.is_some());
        assert!(Compiling::of(Path::new("/not/there")).0.is_none());
    }
}
