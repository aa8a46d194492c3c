//! Memory pressure, made by root: a swap file, pages of another process that are
//! swapped out, memory that is compacted. Each ends with its owner.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::FallocateFlags;
use rustix::process::{Pid, PidfdFlags};

use crate::fixture::target_directory;

const MIB: usize = 1024 * 1024;
const SWAP_BYTES: usize = 256 * MIB;
/// How much free memory is broken into single pages, for compaction to join.
const FRAGMENTED_BYTES: usize = 512 * MIB;
const PAGE: u64 = 4096;

/// A swap file that the system uses until this is dropped. One at a time.
#[derive(Debug)]
pub struct Swap {
    file: PathBuf,
    _only_one: MutexGuard<'static, ()>,
}

impl Swap {
    /// Turns it on.
    ///
    /// # Errors
    /// Where this user or this file system may not.
    pub fn on() -> io::Result<Self> {
        static ONLY_ONE: Mutex<()> = Mutex::new(());
        let only_one = ONLY_ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let file = target_directory().join("fanlight-tests.swap");
        // A test run that was killed has left it on.
        turn_off(&file);
        // Without holes, which the system refuses.
        let mut written = File::create(&file)?;
        written.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        let block = vec![0; MIB];
        for _ in 0..SWAP_BYTES / MIB {
            written.write_all(&block)?;
        }
        drop(written);
        let swap = Self {
            file,
            _only_one: only_one,
        };
        run("mkswap", &swap.file)?;
        run("swapon", &swap.file)?;
        Ok(swap)
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        turn_off(&self.file);
    }
}

fn turn_off(file: &Path) {
    let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
    if swaps.contains(&*file.to_string_lossy()) {
        // It fails where memory cannot hold what was swapped out; the next try
        // turns it off.
        let _ = run("swapoff", file);
    }
    let _ = std::fs::remove_file(file);
}

fn run(program: &str, file: &Path) -> io::Result<()> {
    let output = Command::new(program).arg(file).output()?;
    if output.status.success() {
        return Ok(());
    }
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(io::Error::other(format!("{program}: {}", error.trim())))
}

/// Does something again and again on a thread until it is dropped.
#[derive(Debug)]
pub struct Repeated {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Repeated {
    fn new(pause: Duration, mut act: impl FnMut() + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                act();
                std::thread::sleep(pause);
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Repeated {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of it has been printed.
            let _ = thread.join();
        }
    }
}

/// Has the kernel swap out the memory of a process, every 20 ms.
pub fn paging_out(process: u32) -> Repeated {
    Repeated::new(Duration::from_millis(20), move || page_out(process))
}

/// Asks the kernel once to swap out all that a process can write to.
pub fn page_out(process: u32) {
    let Ok(maps) = std::fs::read_to_string(format!("/proc/{process}/maps")) else {
        return;
    };
    let id = i32::try_from(process).ok().and_then(Pid::from_raw);
    let Some(id) = id else { return };
    let Ok(handle) = rustix::process::pidfd_open(id, PidfdFlags::empty()) else {
        return;
    };
    for line in maps.lines() {
        let Some((range, rest)) = line.split_once(' ') else {
            continue;
        };
        let Some((start, end)) = range.split_once('-') else {
            continue;
        };
        let parsed = (
            usize::from_str_radix(start, 16),
            usize::from_str_radix(end, 16),
        );
        if let (true, (Ok(start), Ok(end))) = (rest.starts_with("rw"), parsed) {
            advise_page_out(&handle, start, end - start);
        }
    }
}

/// What cannot be swapped out stays: no error is of interest.
#[expect(
    unsafe_code,
    reason = "no crate has process_madvise; MADV_PAGEOUT changes no memory of any process"
)]
fn advise_page_out(process: &OwnedFd, start: usize, length: usize) {
    let range = libc::iovec {
        iov_base: start as *mut libc::c_void,
        iov_len: length,
    };
    // SAFETY: the kernel reads `range` during the call, and gives back an error for
    // addresses that the other process does not have.
    unsafe {
        libc::syscall(
            libc::SYS_process_madvise,
            process.as_raw_fd(),
            &raw const range,
            1usize,
            libc::MADV_PAGEOUT,
            0u32,
        );
    }
}

/// How many bytes of a process are swapped out, as the kernel counts them.
pub fn swapped_bytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSwap:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.trim().parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

/// Free memory in single pages, made anew twice a second, which the kernel is asked
/// to join all the time: it moves the pages of running processes for that.
#[derive(Debug)]
pub struct Compaction {
    _threads: [Repeated; 2],
}

impl Compaction {
    /// Starts it.
    ///
    /// # Errors
    /// Where this user may not, or the kernel was built without it.
    pub fn start() -> io::Result<Self> {
        let compact = || std::fs::write("/proc/sys/vm/compact_memory", "1");
        compact()?;
        let memory = tempfile::tempfile_in("/dev/shm")?;
        fragment(&memory)?;
        Ok(Self {
            // Both were allowed a moment ago.
            _threads: [
                Repeated::new(Duration::ZERO, move || drop(compact())),
                Repeated::new(Duration::from_millis(500), move || drop(fragment(&memory))),
            ],
        })
    }
}

/// Fills a file in memory, then gives every second page of it back.
fn fragment(memory: &File) -> io::Result<()> {
    let block = vec![1; MIB];
    for at in 0..FRAGMENTED_BYTES / MIB {
        memory.write_all_at(&block, (at * MIB) as u64)?;
    }
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    for at in (0..FRAGMENTED_BYTES as u64).step_by(2 * PAGE as usize) {
        rustix::fs::fallocate(memory, hole, at, PAGE)?;
    }
    Ok(())
}

/// How many pages the kernel has moved since it started.
pub fn migrated_pages() -> u64 {
    let counts = std::fs::read_to_string("/proc/vmstat").unwrap_or_default();
    counts
        .lines()
        .find_map(|line| line.strip_prefix("pgmigrate_success "))
        .and_then(|count| count.parse().ok())
        .unwrap_or(0)
}

/// A memory control group that holds one process, whose pages leave when it is asked.
#[derive(Debug)]
pub struct MemoryGroup {
    directory: PathBuf,
    /// What is written to which file of it.
    reclaim: (&'static str, &'static str),
}

impl MemoryGroup {
    /// Makes one and puts the process into it: by version 2 (`memory.reclaim`), or
    /// by version 1 (`memory.force_empty`).
    ///
    /// # Errors
    /// Where there is neither, or this user may not.
    pub fn of(process: u32) -> io::Result<Self> {
        let name = format!("fanlight-tests-{process}");
        let (parent, reclaim) = if Path::new("/sys/fs/cgroup/memory").is_dir() {
            ("/sys/fs/cgroup/memory", ("memory.force_empty", "0"))
        } else {
            ("/sys/fs/cgroup", ("memory.reclaim", "64M"))
        };
        let directory = Path::new(parent).join(name);
        std::fs::create_dir(&directory)?;
        let group = Self { directory, reclaim };
        if !group.directory.join(reclaim.0).exists() {
            return Err(io::Error::other(format!(
                "there is no {} in {parent}",
                reclaim.0
            )));
        }
        std::fs::write(group.directory.join("cgroup.procs"), process.to_string())?;
        Ok(group)
    }

    /// Asks for its pages every 20 ms.
    pub fn reclaiming(&self) -> Repeated {
        let (file, value) = self.reclaim;
        let file = self.directory.join(file);
        Repeated::new(Duration::from_millis(20), move || {
            // It is an error where fewer pages left than were asked for.
            let _ = std::fs::write(&file, value);
        })
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // A group is busy until its process, which was killed, is gone.
        for _ in 0..100 {
            if std::fs::remove_dir(&self.directory).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
