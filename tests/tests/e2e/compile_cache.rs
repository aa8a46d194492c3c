//! A folder for compiled code that cannot be written: serving goes on, and the log
//! says so once.

use std::path::{Path, PathBuf};
use std::process::Command;

use fanlight_tests::client::Ask;
use fanlight_tests::fixture::{FAULTS, HELLO, version};
use fanlight_tests::program::Program;
use fanlight_tests::skipped::skip;
use http::Method;

/// A file system of its own, too small for compiled code.
struct SmallFileSystem {
    folder: tempfile::TempDir,
}

impl SmallFileSystem {
    /// Mounts it, which only root can.
    fn mount(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "none"])
            .arg(folder.path())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(Self { folder })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// All files below it.
    fn files(&self) -> Vec<PathBuf> {
        let mut folders = vec![self.path().to_owned()];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => files.push(path),
                }
            }
        }
        files
    }
}

impl Drop for SmallFileSystem {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_file_system_for_compiled_code_is_warned_about_once_and_nothing_is_left_there() {
    let Some(small) = SmallFileSystem::mount("size=64k") else {
        let name =
            "a_full_file_system_for_compiled_code_is_warned_about_once_and_nothing_is_left_there";
        return skip(name, "a small file system can be mounted by root alone");
    };
    let program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .env("FANLIGHT_COMPONENT", FAULTS.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "16")
        .env("FANLIGHT_CACHE_DIR", small.path().to_str().unwrap())
        .serve()
        .await;
    for number in 1..3 {
        let put = Ask::get(program.admin.unwrap(), "/component")
            .method(Method::PUT)
            .body(version(number));
        assert_eq!(put.send().await.status, 200);
    }
    assert_eq!(program.get("/version").send().await.status, 200);
    let said = program.said();
    let warnings = said.matches("compiled code cannot be kept").count();
    assert_eq!(warnings, 1, "{said}");
    assert_eq!(small.files(), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_file_system_for_compiled_code_is_warned_about_once() {
    let Some(small) = SmallFileSystem::mount("size=1m") else {
        let name = "a_read_only_file_system_for_compiled_code_is_warned_about_once";
        return skip(name, "a file system can be mounted read-only by root alone");
    };
    let remounted = Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(small.path())
        .status();
    assert!(remounted.unwrap().success());
    let program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
        .env("FANLIGHT_COMPONENT", HELLO.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "16")
        .env("FANLIGHT_CACHE_DIR", small.path().to_str().unwrap())
        .serve()
        .await;
    assert_eq!(program.get("/hello").send().await.status, 200);
    let said = program.said();
    let warnings = said
        .matches("each start compiles the component anew")
        .count();
    assert_eq!(warnings, 1, "{said}");
    assert!(said.contains("Read-only file system"), "{said}");
}
